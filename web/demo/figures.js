// The tiles with live figures: a number and a line over the last minute each.

const POINTS = 60;
const WIDTH = 120;
const HEIGHT = 36;

export function bytes(count) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count >= 100 || Number.isInteger(count) ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

const TILES = {
  cpu: { lines: (f) => [f.cpu], top: () => 100, text: (f) => [`${Math.round(f.cpu)} %`, `of ${f.cores} cores`] },
  memory: {
    lines: (f) => [f.memory.used],
    top: (f) => f.memory.total,
    text: (f) => [bytes(f.memory.used), `of ${bytes(f.memory.total)}`],
  },
  load: { lines: (f) => [f.load[0]], top: (f) => f.cores, text: (f) => [f.load[0].toFixed(2), `5 min ${f.load[1].toFixed(2)}`] },
  net: {
    lines: (f) => [f.net.in, f.net.out],
    top: () => 1024,
    text: (f) => [`${bytes(f.net.in)}/s`, `out ${bytes(f.net.out)}/s`],
  },
};

const history = [];

/** Takes one message of demo/system and draws it. */
export function showFigures(root, figures) {
  history.push(figures);
  if (history.length > POINTS) history.shift();
  root.removeAttribute('data-empty');
  root.querySelector('#system-host').textContent = figures.host ?? '';
  for (const [name, tile] of Object.entries(TILES)) {
    const element = root.querySelector(`[data-figure="${name}"]`);
    const [value, detail] = tile.text(figures);
    element.querySelector('output').replaceChildren(value, Object.assign(document.createElement('small'), { textContent: detail }));
    const series = history.map(tile.lines);
    const top = Math.max(tile.top(figures), ...series.flat());
    draw(element.querySelector('svg'), series, top);
  }
}

function draw(svg, series, top) {
  const x = (index) => WIDTH - ((series.length - 1 - index) * WIDTH) / (POINTS - 1);
  const y = (value) => HEIGHT - 1 - (value / (top || 1)) * (HEIGHT - 4);
  series[0].forEach((_, line) => {
    const points = series.map((values, index) => `${x(index).toFixed(1)},${y(values[line]).toFixed(1)}`);
    if (line === 0) {
      const area = `M${x(0).toFixed(1)},${HEIGHT}L${points.join('L')}L${WIDTH},${HEIGHT}Z`;
      shape(svg, 'area').setAttribute('d', area);
    }
    shape(svg, `line line-${line}`).setAttribute('d', `M${points.join('L')}`);
  });
}

function shape(svg, name) {
  const selector = `.${name.replace(' ', '.')}`;
  const found = svg.querySelector(selector);
  if (found) return found;
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('class', name);
  return svg.appendChild(path);
}
