"use strict";
// The convoy from above: road, cars and the messages in flight, drawn on a canvas.
const RoadView = (() => {
  const FLIGHT_S = 0.2; // how long a message is shown on its way
  const LONGEST_FLIGHT_S = 2;
  const EGO_PLACE = 0.14; // share of the width left of the ego's front
  const BRAKING = -0.5, BRAKING_HARD = -3; // [m/s^2], one lamp size each

  const at = (series, place, perUnit) => {
    const low = Math.floor(place), high = Math.min(low + 1, series.length - 1);
    return (series[low] + (series[high] - series[low]) * (place - low)) / perUnit;
  };
  const angleAt = (series, place, perUnit) => {
    const low = Math.floor(place), high = Math.min(low + 1, series.length - 1);
    const turn = (series[high] - series[low]) / perUnit;
    return series[low] / perUnit + Math.atan2(Math.sin(turn), Math.cos(turn)) * (place - low);
  };
  const poseOf = (car, place, perUnit) => ({
    x: at(car.x_m, place, perUnit), y: at(car.y_m, place, perUnit),
    heading: angleAt(car.heading_rad, place, perUnit),
  });

  // The car that the view keeps in sight: the one that brakes, or the one directly ahead.
  const aimOf = (episode) => episode.cars[episode.source] ?? episode.cars[1] ?? episode.cars[0];

  function fittingZoom(episode, width, perUnit) {
    const ego = episode.cars[0], aim = aimOf(episode);
    const apart = Math.hypot((aim.x_m[0] - ego.x_m[0]) / perUnit, (aim.y_m[0] - ego.y_m[0]) / perUnit);
    return Math.min(12, Math.max(2.2, (0.72 * width) / Math.max(apart, 12)));
  }

  function cameraOf(episode, place, perUnit, size, zoom) {
    const ego = poseOf(episode.cars[0], place, perUnit);
    const aim = poseOf(aimOf(episode), place, perUnit);
    const isFar = Math.hypot(aim.x - ego.x, aim.y - ego.y) > 8;
    const turn = isFar ? Math.atan2(aim.y - ego.y, aim.x - ego.x) : ego.heading;
    const cos = Math.cos(turn), sin = Math.sin(turn);
    return {
      zoom, turn,
      toScreen: (x, y) => {
        const ahead = (x - ego.x) * cos + (y - ego.y) * sin;
        const left = (y - ego.y) * cos - (x - ego.x) * sin;
        return [EGO_PLACE * size.width + ahead * zoom + 4.5 * zoom, 0.6 * size.height - left * zoom];
      },
    };
  }

  // The line that runs beside a lane's middle, so far to its left.
  function besides(lane, left) {
    return lane.points.map(([x, y], index) => {
      const [bx, by] = lane.points[Math.max(index - 1, 0)];
      const [ax, ay] = lane.points[Math.min(index + 1, lane.points.length - 1)];
      const length = Math.hypot(ax - bx, ay - by) || 1;
      return [x - (left * (ay - by)) / length, y + (left * (ax - bx)) / length];
    });
  }

  function drawLanes(pen, lanes, camera, colours) {
    pen.lineJoin = "round";
    const trace = (lane) => {
      pen.beginPath();
      lane.points.forEach(([x, y]) => pen.lineTo(...camera.toScreen(x, y)));
      pen.stroke();
    };
    for (const [extra, colour] of [[0.5, colours.edge], [0.02, colours.road]]) {
      pen.strokeStyle = colour;
      for (const lane of lanes) {
        pen.lineWidth = (lane.width + extra) * camera.zoom;
        trace(lane);
      }
    }
    pen.strokeStyle = colours.edge; // a dashed line on both sides of each lane
    pen.lineWidth = 1.2;
    pen.setLineDash([2 * camera.zoom, 3 * camera.zoom]);
    for (const lane of lanes) {
      for (const side of [-1, 1]) {
        pen.beginPath();
        besides(lane, (side * lane.width) / 2).forEach(([x, y]) => pen.lineTo(...camera.toScreen(x, y)));
        pen.stroke();
      }
    }
    pen.setLineDash([]);
  }

  function drawCar(pen, car, pose, camera, look) {
    const [x, y] = camera.toScreen(pose.x, pose.y);
    const scale = Math.max(camera.zoom, 7 / car.width);
    const length = car.length * camera.zoom, width = car.width * scale;
    pen.save();
    pen.translate(x, y);
    pen.rotate(camera.turn - pose.heading);
    pen.fillStyle = look.fill;
    pen.strokeStyle = look.line;
    pen.lineWidth = 1.2;
    pen.beginPath();
    pen.roundRect(-length, -width / 2, length, width, Math.min(4, width / 3));
    pen.globalAlpha = look.isFresh ? 1 : 0.3;
    pen.fill();
    pen.globalAlpha = 1;
    pen.setLineDash(look.isFresh ? [] : [3, 3]);
    pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = look.glass;
    pen.fillRect(-0.42 * length, -0.36 * width, 0.16 * length, 0.72 * width);
    if (look.acceleration < BRAKING) {
      const lamp = look.acceleration < BRAKING_HARD ? 4 : 2.5;
      pen.fillStyle = look.lamp;
      pen.fillRect(-length - 1, -width / 2, lamp, width * 0.3);
      pen.fillRect(-length - 1, width * 0.2, lamp, width * 0.3);
    }
    pen.restore();
    return [x, y, length, width];
  }

  const outlines = {
    delivered: (pen) => { pen.arc(0, 0, 4, 0, 7); pen.fill(); },
    lost: (pen) => { pen.moveTo(-4, -4); pen.lineTo(4, 4); pen.moveTo(4, -4); pen.lineTo(-4, 4); pen.stroke(); },
    relayed: (pen) => { pen.moveTo(0, -5.5); pen.lineTo(5.5, 0); pen.lineTo(0, 5.5); pen.lineTo(-5.5, 0); pen.closePath(); pen.fill(); },
    stale: (pen) => { pen.moveTo(0, -5.5); pen.lineTo(5.5, 4.5); pen.lineTo(-5.5, 4.5); pen.closePath(); pen.stroke(); },
  };

  function drawMessage(pen, message, share, ends, fate, colour) {
    const [[x1, y1], [x2, y2]] = ends;
    const lift = 16 + 0.09 * Math.abs(x2 - x1);
    const middle = [(x1 + x2) / 2, Math.min(y1, y2) - lift];
    const along = (t) => [
      (1 - t) ** 2 * x1 + 2 * t * (1 - t) * middle[0] + t * t * x2,
      (1 - t) ** 2 * y1 + 2 * t * (1 - t) * middle[1] + t * t * y2,
    ];
    const reached = fate === "lost" ? Math.min(share, 0.55) : share;
    pen.strokeStyle = pen.fillStyle = colour;
    pen.globalAlpha = 0.35;
    pen.lineWidth = 1;
    pen.setLineDash(fate === "relayed" ? [5, 3] : []);
    pen.beginPath();
    for (let step = 0; step <= 12; step += 1) pen.lineTo(...along((reached * step) / 12));
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = fate === "lost" && share > 0.55 ? Math.max(0.2, 2.2 * (1 - share)) : 1;
    pen.lineWidth = 2;
    pen.save();
    pen.translate(...along(reached));
    pen.beginPath();
    outlines[fate](pen);
    pen.restore();
    pen.globalAlpha = 1;
  }

  function drawMessages(pen, data, episode, time, colours, fronts, isStill) {
    const first = (time - LONGEST_FLIGHT_S) * data.perUnit, last = time * data.perUnit;
    for (const message of episode.messages) {
      const [sender, receiver, sent, received, fateIndex] = message;
      if (sent < first) continue;
      if (sent > last) break;
      const flight = Math.max(FLIGHT_S, received === null ? 0 : (received - sent) / data.perUnit);
      const share = (time - sent / data.perUnit) / flight;
      if (share > 1) continue;
      const fate = data.fates[fateIndex];
      drawMessage(pen, message, isStill ? 1 : share, [fronts[sender], fronts[receiver]], fate, colours[fate]);
    }
  }

  function drawScaleBar(pen, size, zoom, colours) {
    const metres = [5, 10, 20, 50, 100].find((length) => length * zoom > 60) ?? 100;
    const right = size.width - 14, bottom = size.height - 14;
    pen.strokeStyle = pen.fillStyle = colours.ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(right - metres * zoom, bottom - 4);
    pen.lineTo(right - metres * zoom, bottom);
    pen.lineTo(right, bottom);
    pen.lineTo(right, bottom - 4);
    pen.stroke();
    pen.textAlign = "right";
    pen.fillText(`${metres} m`, right, bottom - 8);
  }

  function drawContact(pen, [x, y], colours) {
    pen.fillStyle = colours.alarm;
    pen.beginPath();
    for (let ray = 0; ray < 16; ray += 1) {
      const radius = ray % 2 ? 6 : 14, angle = (ray * Math.PI) / 8;
      pen.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
    }
    pen.closePath();
    pen.fill();
    pen.font = "600 13px system-ui, sans-serif";
    pen.textAlign = "left";
    pen.fillText("contact", x + 8, y - 18);
  }

  // Names below the cars: the ego's and the source's first, others where there is room left.
  function writeNames(pen, shown, episode, colours) {
    const taken = [];
    pen.textAlign = "center";
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    pen.strokeStyle = colours.halo;
    pen.fillStyle = colours.ink;
    const isNamed = (rank) => rank === 0 || rank === episode.source;
    const ranks = episode.cars.map((car) => car.rank).sort((a, b) => isNamed(b) - isNamed(a));
    for (const rank of ranks) {
      const [x, y, length, width] = shown[rank];
      const name = rank === 0 ? "ego" : rank === episode.source ? `${rank} brakes` : `${rank}`;
      pen.font = `${isNamed(rank) ? "600 " : ""}12px system-ui, sans-serif`;
      const half = pen.measureText(name).width / 2 + 4, middle = x - length / 2;
      if (taken.some(([low, high]) => middle + half > low && middle - half < high)) continue;
      taken.push([middle - half, middle + half]);
      pen.strokeText(name, middle, y + width / 2 + 16);
      pen.fillText(name, middle, y + width / 2 + 16);
    }
  }

  function lookOf(car, episode, place, data, colours) {
    const isSource = car.rank === episode.source;
    const fill = car.rank === 0 ? colours.policy : isSource ? colours.source : colours.car;
    const acceleration = at(car.acceleration_mps2, place, data.perUnit);
    const heard = episode.heard.find((peer) => peer.rank === car.rank);
    const isFresh = heard === undefined || heard.fresh[Math.round(place)] === 1;
    return { fill, line: colours.ink, glass: colours.glass, lamp: colours.lamp, acceleration, isFresh };
  }

  function draw(canvas, data, episode, place, { zoom, isStill, colours }) {
    const size = { width: canvas.clientWidth, height: canvas.clientHeight };
    const ratio = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    pen.font = "12px system-ui, sans-serif";
    const camera = cameraOf(episode, place, data.perUnit, size, zoom);
    drawLanes(pen, data.roads[episode.road], camera, colours);
    const shown = [];
    for (const car of episode.cars.toReversed()) { // the ego last, above the others
      const pose = poseOf(car, place, data.perUnit);
      shown[car.rank] = drawCar(pen, car, pose, camera, lookOf(car, episode, place, data, colours));
    }
    const roofs = shown.map(([x, y, length, width]) => [x - length / 2, y - width / 2]);
    const time = episode.start + episode.step * (place + 1);
    drawMessages(pen, data, episode, time, colours, roofs, isStill);
    writeNames(pen, shown, episode, colours);
    if (episode.collision && place >= episode.cars[0].x_m.length - 1.5) {
      drawContact(pen, shown[0], colours);
    }
    pen.font = "12px system-ui, sans-serif";
    drawScaleBar(pen, size, zoom, colours);
  }

  return { draw, fittingZoom, at };
})();
