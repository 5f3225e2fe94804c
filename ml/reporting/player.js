"use strict";
// The replay: one place in time, moved by clock, buttons, keys and pointer; everything follows it.
(() => {
  const find = (name) => document.getElementById(`player-${name}`);
  const player = document.getElementById("player");
  const data = JSON.parse(find("data").textContent);
  const canvas = find("road"), slider = find("time"), playButton = player.querySelector("[data-do=play]");
  const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
  const darkness = window.matchMedia("(prefers-color-scheme: dark)");
  const COLOURS = {
    road: "--road", edge: "--road-edge", ink: "--ink", policy: "--policy", source: "--source", car: "--car",
    glass: "--glass", lamp: "--lamp", alarm: "--alarm", halo: "--surface", delivered: "--delivered", lost: "--lost",
    relayed: "--relayed", stale: "--stale",
  };
  const state = { episode: null, place: 0, zoom: 4, isPlaying: false, clock: 0, charts: null, colours: {} };

  const lastStep = () => state.episode.cars[0].x_m.length - 1;
  const timeOf = (place) => state.episode.start + state.episode.step * (place + 1);
  const onsetStep = () => (state.episode.onset === null ? 0
    : Math.round((state.episode.onset - state.episode.start) / state.episode.step) - 1);

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    state.colours = Object.fromEntries(Object.entries(COLOURS).map(([key, name]) => [key, style.getPropertyValue(name).trim()]));
  }

  // The values at the cursor, as words.
  function wordsNow() {
    const step = Math.round(state.place);
    const parts = state.charts.strips.map(({ short, unit, lines }) => {
      const named = lines.filter((line) => line.name !== "");
      const values = named.reverse().map((line) => {
        const value = line.values[step];
        const number = value === null ? "none" : value.toFixed(unit === "s" ? 2 : 1);
        return named.length > 1 ? `${line.name} ${number}` : number;
      });
      return [short, `${values.join(", ")} ${unit}`, values.length];
    });
    return parts.filter(([, , number]) => number > 0);
  }

  function show() {
    const isStill = stillness.matches;
    const place = isStill ? Math.round(state.place) : state.place;
    RoadView.draw(canvas, data, state.episode, place, { zoom: state.zoom, isStill, colours: state.colours });
    state.charts.move(place);
    const step = Math.round(state.place), clock = `${timeOf(step).toFixed(1)} s`;
    slider.value = step;
    find("clock").textContent = clock;
    const words = wordsNow();
    find("now").replaceChildren(...words.map(([name, value]) => {
      const entry = document.createElement("span");
      entry.append(Object.assign(document.createElement("b"), { textContent: name }), ` ${value}`);
      return entry;
    }));
    slider.setAttribute("aria-valuetext", [clock, ...words.map(([name, value]) => `${name} ${value}`)].join("; "));
  }

  // Said aloud by a screen reader: only where the reader stopped, not at every frame.
  const say = () => { find("said").textContent = slider.getAttribute("aria-valuetext"); };

  function goTo(place, isSaid = true) {
    state.place = Math.min(lastStep(), Math.max(0, place));
    show();
    if (isSaid) say();
  }

  function setPlaying(isPlaying) {
    state.isPlaying = isPlaying;
    playButton.textContent = isPlaying ? "❚❚ Pause" : "▶ Play";
    playButton.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    if (!isPlaying) return say();
    if (state.place >= lastStep()) state.place = 0;
    state.clock = performance.now();
    requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!state.isPlaying) return;
    const passed = Math.max(0, now - state.clock) / 1000;
    state.clock = now;
    goTo(state.place + (passed * Number(find("speed").value)) / state.episode.step, false);
    if (state.place >= lastStep()) setPlaying(false);
    else requestAnimationFrame(tick);
  }

  function stepBy(steps) {
    if (state.isPlaying) setPlaying(false);
    goTo(Math.round(state.place) + steps);
  }

  function zoomBy(factor) {
    state.zoom = Math.min(24, Math.max(1.2, state.zoom * factor));
    show();
  }

  const actions = {
    play: () => setPlaying(!state.isPlaying),
    back: () => stepBy(-1),
    forward: () => stepBy(1),
    onset: () => stepBy(onsetStep() - Math.round(state.place)),
    in: () => zoomBy(1.3),
    out: () => zoomBy(1 / 1.3),
  };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    const far = event.shiftKey ? Math.round(1 / state.episode.step) : 1;
    const keys = {
      ArrowLeft: () => stepBy(-far), ArrowRight: () => stepBy(far), ArrowDown: () => stepBy(-far), ArrowUp: () => stepBy(far),
      Home: () => stepBy(-lastStep()), End: () => stepBy(lastStep()), o: actions.onset, O: actions.onset,
      "+": actions.in, "-": actions.out,
      ...(event.target.tagName === "BUTTON" ? {} : { " ": actions.play }),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  }

  function buildCharts() {
    state.charts = TimeCharts.build(find("charts"), data, state.episode);
    const scrub = (event) => {
      if (state.isPlaying) setPlaying(false);
      goTo(state.charts.stepAt(event.clientX));
    };
    state.charts.drawing.addEventListener("pointerdown", (event) => {
      state.charts.drawing.setPointerCapture(event.pointerId);
      scrub(event);
    });
    state.charts.drawing.addEventListener("pointermove", (event) => { if (event.buttons) scrub(event); });
  }

  function open(number) {
    if (state.isPlaying) setPlaying(false);
    state.episode = data.episodes[number];
    document.querySelectorAll("button.show").forEach((button) =>
      button.setAttribute("aria-pressed", String(Number(button.dataset.episode) === number)));
    player.hidden = false;
    const { policy, preset, case: name, collision } = state.episode;
    find("title").textContent = `${number + 1}. ${name} · ${policy} · ${preset} · ${collision ? "contact" : "no contact"}`;
    slider.max = lastStep();
    state.zoom = RoadView.fittingZoom(state.episode, canvas.clientWidth, data.perUnit);
    buildCharts();
    goTo(Math.max(0, onsetStep()), false);
  }

  function refresh() {
    readColours();
    buildCharts();
    show();
  }

  player.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) actions[button.dataset.do]();
  });
  player.addEventListener("keydown", onKey);
  slider.addEventListener("input", () => { const step = Number(slider.value); stepBy(step - Math.round(state.place)); });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
  }, { passive: false });
  document.querySelectorAll("button.show").forEach((button) => button.addEventListener("click", () => {
    open(Number(button.dataset.episode));
    player.scrollIntoView({ behavior: stillness.matches ? "auto" : "smooth", block: "nearest" });
    player.focus({ preventScroll: true });
  }));
  darkness.addEventListener("change", refresh);
  stillness.addEventListener("change", show);
  window.matchMedia("print").addEventListener("change", refresh);
  new ResizeObserver(() => { buildCharts(); show(); }).observe(find("charts").parentElement);
  readColours();
  open(0);
})();
