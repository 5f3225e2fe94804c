"""What acts: the trained network and the scripted rules it is compared with."""
