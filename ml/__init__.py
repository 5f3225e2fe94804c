"""RoadSense: collision avoidance for convoys that talk over a cheap, lossy radio.

The folders are the stages of one line of data flow::

    scenario -> simulator -> radio -> observation -> policy -> action -> (simulator) ...
             -> metrics, reward -> records -> report
"""

__version__ = "0.1.0"
