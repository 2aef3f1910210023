// The list of messages: filters by topic, pause, and following the newest.

const MOST_PER_TOPIC = 60;
const MOST_WHILE_PAUSED = 500;
const NEAR_END_PX = 40;

const $ = (id) => document.getElementById(id);

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export class Messages {
  /** `nameOf(sessionId)` gives what people call a session. Topics in `quiet` start hidden. */
  constructor(nameOf, quiet) {
    this.nameOf = nameOf;
    this.hidden = new Set(quiet);
    this.chips = new Map(); // topic → {button, count}
    this.held = []; // arrived while paused
    this.paused = false;
    this.newer = 0;
    this.list = $('messages');
    this.list.addEventListener('scroll', () => {
      this.wasAtEnd = this.atEnd();
      if (this.wasAtEnd) this.setNewer(0);
    });
    // A window that gets smaller, or a phone that is turned, goes on showing the newest.
    this.wasAtEnd = true;
    new ResizeObserver(() => this.wasAtEnd && this.toEnd()).observe(this.list);
    $('newer').addEventListener('click', () => this.toEnd());
    $('clear').addEventListener('click', () => this.clear());
    $('pause').addEventListener('click', () => this.pause(!this.paused));
  }

  /** `message` as it came; `how` adds `own`, `status`. Returns the entry, or undefined while paused. */
  add(message, how = {}) {
    if (this.paused && !how.own) {
      this.held.push([message, how]);
      if (this.held.length > MOST_WHILE_PAUSED) this.held.shift();
      this.showPause();
      return undefined;
    }
    const topic = message.topic ?? '';
    const chip = this.chip(topic);
    chip.count += 1;
    chip.button.lastChild.textContent = chip.count;

    const follow = this.atEnd();
    const entry = this.entry(message, topic, how);
    entry.hidden = this.hidden.has(topic);
    this.list.append(entry);
    const same = this.list.querySelectorAll(`[data-topic="${CSS.escape(topic)}"]`);
    for (let index = 0; index < same.length - MOST_PER_TOPIC; index += 1) same[index].remove();
    if (!entry.hidden) {
      $('messages-empty').hidden = true;
      if (follow || how.own) this.toEnd();
      else this.setNewer(this.newer + 1);
    }
    return entry;
  }

  entry(message, topic, { own, status }) {
    const entry = element('li', own ? 'entry own' : 'entry');
    entry.dataset.topic = topic;
    entry.dataset.event = message.event ?? '';
    if (message.id) entry.dataset.id = message.id;
    const meta = element('div', 'meta');
    meta.append(element('span', 'topic', label(topic)));
    if (message.event) meta.append(element('span', 'event', message.event));
    if (own) meta.append(element('span', 'from', 'you'));
    else if (message.sender) {
      const from = element('span', 'from', this.nameOf(message.sender));
      from.dataset.sender = message.sender;
      meta.append(from);
    }
    const now = new Date();
    const time = message.time ? new Date(message.time) : now;
    const clock = element('time', '', time.toLocaleTimeString([], { hour12: false }));
    clock.dateTime = time.toISOString();
    clock.title = message.time ?? '';
    meta.append(element('span', 'gapper'), element('span', 'status', status ?? latency(message, now)), clock);
    entry.append(meta, body(message));
    return entry;
  }

  /** `users`: session id → user. Who a session is may become known after its message has come; who has left keeps the name. */
  rename(users) {
    for (const from of this.list.querySelectorAll('[data-sender]')) {
      const user = users.get(from.dataset.sender);
      if (user && from.textContent !== user) from.textContent = user;
    }
  }

  note(text) {
    const follow = this.atEnd();
    this.list.append(element('li', 'note', text));
    if (follow) this.toEnd();
  }

  chip(topic) {
    if (this.chips.has(topic)) return this.chips.get(topic);
    const button = element('button', 'chip', element('span', '', label(topic)), element('span', 'count', '0'));
    button.type = 'button';
    button.dataset.filter = topic;
    button.setAttribute('aria-pressed', String(!this.hidden.has(topic)));
    button.addEventListener('click', () => {
      if (!this.hidden.delete(topic)) this.hidden.add(topic);
      button.setAttribute('aria-pressed', String(!this.hidden.has(topic)));
      for (const entry of this.list.querySelectorAll('.entry')) entry.hidden = this.hidden.has(entry.dataset.topic);
      $('messages-empty').hidden = Boolean(this.list.querySelector('.entry:not([hidden])'));
      this.toEnd();
    });
    $('filters').append(button);
    const chip = { button, count: 0 };
    this.chips.set(topic, chip);
    return chip;
  }

  pause(on) {
    this.paused = on;
    $('pause').setAttribute('aria-pressed', String(on));
    if (!on) for (const [message, how] of this.held.splice(0)) this.add(message, how);
    this.showPause();
  }

  showPause() {
    const shown = this.held.filter(([message]) => !this.hidden.has(message.topic ?? '')).length;
    $('pause').textContent = this.paused ? (shown ? `Resume (${shown})` : 'Resume') : 'Pause';
  }

  clear() {
    this.list.replaceChildren();
    this.held.length = 0;
    for (const chip of this.chips.values()) {
      chip.count = 0;
      chip.button.lastChild.textContent = 0;
    }
    this.setNewer(0);
    this.showPause();
    $('messages-empty').hidden = false;
  }

  atEnd() {
    return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < NEAR_END_PX;
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
    this.setNewer(0);
  }

  setNewer(count) {
    this.newer = count;
    $('newer').hidden = count === 0;
    $('newer').textContent = `${count} new ↓`;
  }
}

/** What people call a topic. */
function label(topic) {
  if (topic === '') return 'direct';
  if (topic === '$all') return 'all';
  return topic.startsWith('$user/') ? `user ${topic.slice(6)}` : topic;
}

// Clocks of two machines differ; a figure that cannot be right is not shown.
function latency(message, now) {
  const passed = message.time ? now - new Date(message.time) : NaN;
  if (!(passed >= 0 && passed < 60_000)) return '';
  return passed < 1 ? '< 1 ms' : `${Math.round(passed)} ms`;
}

function body(message) {
  const { data } = message;
  if (typeof data?.text === 'string' && Object.keys(data).length === 1) return element('p', 'said', data.text);
  if (typeof data === 'string') return element('p', 'said', data);
  if (data instanceof Uint8Array) return element('p', 'said', `${data.length} bytes`);
  return highlighted(data);
}

// JSON, on one line if it is short, with its keys, strings and numbers marked.
function highlighted(data) {
  const short = JSON.stringify(data, null, 1).replace(/\n */g, ' ');
  const json = short.length <= 90 ? short : JSON.stringify(data, null, 2);
  const pre = element('pre', 'data');
  const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|\btrue\b|\bfalse\b|\bnull\b)/g;
  let end = 0;
  for (const match of json.matchAll(token)) {
    pre.append(json.slice(end, match.index));
    const [whole, string, colon, other] = match;
    pre.append(element('span', other ? 'n' : colon ? 'k' : 's', other ?? string), colon ?? '');
    end = match.index + whole.length;
  }
  pre.append(json.slice(end));
  return pre;
}
