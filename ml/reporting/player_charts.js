"use strict";
// Gap, speed, demand and age on one time axis, as SVG that takes its colours from the page.
const TimeCharts = (() => {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const LEFT = 46, RIGHT = 10, STRIP = 84, TITLE = 20, AXIS = 34;
  const OLDEST_SHOWN = 3; // [s]

  const element = (name, attributes, text) => {
    const made = document.createElementNS(NAMESPACE, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const scaled = (series, perUnit, change = (value) => value) =>
    series.map((value) => (value === null ? null : change(value / perUnit)));

  // The strips of an episode: title, and lines of one value a step (null where there is none).
  function stripsOf(data, episode) {
    const of = (series, change) => scaled(series, data.perUnit, change);
    const [ego, lead] = episode.cars;
    const source = episode.source ?? 1;
    const others = episode.heard.filter((heard) => heard.rank !== source);
    const heard = episode.heard.filter((peer) => peer.rank === source);
    const old = (value) => Math.min(value, OLDEST_SHOWN);
    return [
      { title: "gap to the car ahead [m]", short: "gap", unit: "m",
        lines: [{ kind: "policy", name: "gap", values: of(episode.ego.gap_m, (gap) => Math.max(gap, 0)) }] },
      { title: "speed [m/s]", short: "speed", unit: "m/s", lines: [
        ...(lead ? [{ kind: "lead", name: "car ahead", values: of(lead.speed_mps) }] : []),
        { kind: "policy", name: "ego", values: of(ego.speed_mps) }] },
      { title: "braking demand [m/s²]", short: "demand", unit: "m/s²", lines: [
        { kind: "oracle", name: "oracle", values: of(episode.ego.oracle_demand_mps2) },
        { kind: "driver", name: "driver", values: of(episode.ego.driver_command_mps2, (a) => Math.max(0, -a)) },
        { kind: "policy", name: "policy", values: of(episode.ego.demand_mps2) }] },
      { title: `age of the state of car ${source} [s]`,
        short: "age", unit: "s", lines: [
          ...others.map((peer) => ({ kind: "other", name: "", values: of(peer.age, old) })),
          ...heard.map((peer) => ({ kind: "policy", name: `car ${source}`, values: of(peer.age, old) }))] },
    ];
  }

  function niceTop(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.05)));
    return [1, 2, 3, 4, 5, 6, 8, 10].map((digit) => digit * power).find((top) => top >= value);
  }

  function pathOf(values, across, up) {
    let path = "", isOpen = false;
    values.forEach((value, step) => {
      if (value !== null) path += `${isOpen ? "L" : "M"}${across(step).toFixed(1)} ${up(value).toFixed(1)}`;
      isOpen = value !== null;
    });
    return path;
  }

  function drawStrip(drawing, strip, top, across, width) {
    const highest = Math.max(0.1, ...strip.lines.flatMap((line) => line.values.map((value) => value ?? 0)));
    const most = niceTop(highest);
    const up = (value) => top + TITLE + (STRIP - TITLE - 6) * (1 - value / most);
    drawing.append(element("text", { class: "strip-title", x: LEFT, y: top + 13 }, strip.title));
    for (const value of [0, most / 2, most]) {
      drawing.append(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: up(value), y2: up(value) }));
      drawing.append(element("text", { class: "tick end", x: LEFT - 6, y: up(value) + 4 }, `${+value.toPrecision(3)}`));
    }
    for (const line of strip.lines) {
      drawing.append(element("path", { class: `series series-${line.kind}`, d: pathOf(line.values, across, up) }));
    }
    const dots = strip.lines.filter((line) => line.kind !== "other").map((line) => {
      const dot = element("circle", { class: `dot series-${line.kind}`, r: 3.4 });
      return { line, up, dot };
    });
    return dots;
  }

  function drawTimes(drawing, episode, across, bottom, width) {
    const steps = episode.cars[0].x_m.length, end = episode.start + episode.step * steps;
    const apart = [0.5, 1, 2, 5, 10, 20, 60].find((gap) => (width / (end - episode.start)) * gap > 55) ?? 120;
    for (let time = Math.ceil(episode.start / apart) * apart; time <= end + 1e-9; time += apart) {
      const x = across((time - episode.start) / episode.step - 1);
      if (x < LEFT - 1) continue;
      drawing.append(element("line", { class: "axis", x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
      drawing.append(element("text", { class: "tick middle", x, y: bottom + 17 }, `${+time.toFixed(1)}`));
    }
    drawing.append(element("text", { class: "label middle", x: (LEFT + width - RIGHT) / 2, y: bottom + 31 }, "time [s]"));
  }

  // Draw all strips; returns what moves the cursor, and what turns a place on the screen into a step.
  function build(holder, data, episode) {
    const width = Math.max(260, holder.clientWidth), strips = stripsOf(data, episode);
    const height = strips.length * STRIP + AXIS, last = episode.cars[0].x_m.length - 1;
    const drawing = element("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-labelledby": "charts-t charts-d", class: "drawing charts" });
    drawing.append(element("title", { id: "charts-t" }, "Gap, speed, demand and age over time"));
    drawing.append(element("desc", { id: "charts-d" }, "The values at the cursor stand below the drawing."));
    const across = (step) => LEFT + ((width - LEFT - RIGHT) * step) / Math.max(last, 1);
    const dots = strips.flatMap((strip, index) => drawStrip(drawing, strip, index * STRIP, across, width));
    const bottom = strips.length * STRIP;
    drawTimes(drawing, episode, across, bottom, width);
    if (episode.onset !== null) {
      const x = across((episode.onset - episode.start) / episode.step - 1);
      drawing.append(element("line", { class: "series-onset", x1: x, x2: x, y1: TITLE, y2: bottom }));
    }
    const cursor = element("line", { class: "cursor", id: "player-cursor", y1: TITLE - 4, y2: bottom });
    drawing.append(cursor, ...dots.map(({ dot }) => dot));
    holder.replaceChildren(drawing);
    const move = (place) => {
      const x = across(place);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      for (const { line, up, dot } of dots) {
        const value = line.values[Math.round(place)];
        dot.setAttribute("visibility", value === null ? "hidden" : "visible");
        if (value !== null) [dot.cx.baseVal.value, dot.cy.baseVal.value] = [x, up(value)];
      }
    };
    const stepAt = (clientX) => {
      const box = drawing.getBoundingClientRect();
      const x = ((clientX - box.left) * width) / box.width;
      return Math.min(last, Math.max(0, Math.round(((x - LEFT) / (width - LEFT - RIGHT)) * last)));
    };
    return { drawing, move, stepAt, strips };
  }

  return { build };
})();
