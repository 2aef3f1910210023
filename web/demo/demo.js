// The demo page of `herald --dev`: plain JavaScript over the browser SDK.
//
//   /?user=alice                          who to be; --dev takes the page's word for it
//   /?labels=platform=web,tier=gold       labels to be selected by
//   /?topics=orders/42,news               more topics to subscribe to

import { Herald } from '/herald.js';
import { bytes, showFigures } from './figures.js';
import { Messages, element } from './messages.js';

const CHAT = 'demo/chat';
const SYSTEM = 'demo/system';
const PRESENCE = 'demo/presence';
const PING_EVERY_MS = 5_000;

const $ = (id) => document.getElementById(id);
const page = new URLSearchParams(location.search);
const user = page.get('user') ?? '';
const labels = page.get('labels') ?? 'platform=web';
const topics = [CHAT, SYSTEM, PRESENCE, ...(page.get('topics') ?? '').split(',').filter(Boolean)];

const url = new URL('/ws', location.href);
if (user) url.searchParams.set('user', user);
// A list is split at its commas before it is decoded, so they stay as they are.
if (labels) url.search += `${url.search ? '&' : '?'}labels=${labels.split(',').map(encodeURIComponent).join(',')}`;

let sessionId = '';
let present = new Map(); // session id → what demo/presence says of it
let control = { ctl: 'heraldctl', addr: '127.0.0.1:50051' }; // how to call heraldctl; the feed knows better

const shortId = (id) => (id.length > 14 ? `${id.slice(0, 6)}…${id.slice(-6)}` : id);
const nameOf = (id) => present.get(id)?.user_id || shortId(id);

const messages = new Messages(nameOf, [SYSTEM, PRESENCE]);
const client = new Herald({ url: url.href, labels: { page: 'demo' } });
client.on('state', showState);
client.on('message', receive);
client.on('gap', ({ topic, reason }) => messages.note(`Messages of ${topic} were lost: ${reason}`));
client.on('join', (who) => showNews(who, 'joined'));
client.on('leave', (who) => showNews(who, 'left'));
for (const topic of topics) attempt(client.subscribe(topic), showTopics);

// What arrives

function receive(message) {
  countRate();
  if (message.topic === SYSTEM && message.data) {
    showFigures($('system'), message.data);
    const { ctl, addr } = message.data;
    if (ctl && addr && (ctl !== control.ctl || addr !== control.addr)) {
      control = { ctl, addr };
      showCommands();
    }
  } else if (message.topic === PRESENCE && message.data) {
    present = new Map((message.data.sessions ?? []).map((session) => [session.session_id, session]));
    showPresence(message.data.total ?? present.size);
  }
  messages.add(message);
}

function showNews({ topic, sessionId: id, userId }, did) {
  messages.note(`${userId || shortId(id)} ${did} ${topic}`);
  if (did === 'joined') present.set(id, { session_id: id, user_id: userId, ...present.get(id) });
  else present.delete(id);
  showPresence(present.size);
}

let arrived = 0;
function countRate() {
  arrived += 1;
  setTimeout(() => {
    arrived -= 1;
  }, 5000);
}
setInterval(() => {
  $('rate').textContent = arrived ? `${(arrived / 5).toFixed(1)} per second` : '';
}, 1000);

// State and session

let countdown;
function showState(state) {
  clearInterval(countdown);
  const pill = $('state');
  pill.dataset.state = state.name;
  $('reconnect').hidden = state.name !== 'waiting' && state.name !== 'closed';
  const texts = { connecting: 'Connecting', open: 'Connected', closed: `Closed: ${state.reason}` };
  if (state.name === 'waiting') {
    const until = Date.now() + state.delayMs;
    const show = () => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      pill.textContent = `${capital(state.reason)}; trying again ${seconds ? `in ${seconds} s` : 'now'}`;
    };
    show();
    countdown = setInterval(show, 500);
  } else {
    pill.textContent = texts[state.name];
  }
  $('chat-send').disabled = state.name !== 'open';
  document.title = state.name === 'open' ? 'Herald' : 'Herald (offline)';
  if (state.name !== 'open') return;
  showSession(client.session);
  showRoundTrip();
}

async function showRoundTrip() {
  if (client.state.name !== 'open') return;
  const ms = await client.ping().catch(() => undefined);
  if (ms !== undefined) $('rtt').textContent = ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
setInterval(showRoundTrip, PING_EVERY_MS);

function showSession({ id, userId, limits, node, version }) {
  sessionId = id;
  $('session-id').textContent = id;
  $('user-id').textContent = userId || 'anonymous';
  $('user-id').classList.toggle('muted', !userId);
  $('limits').textContent = `${bytes(limits.maxMessageBytes)} a message, ${limits.messagesPerSecond} a second, ${limits.maxTopics} topics`;
  $('server').textContent = [version && `Herald ${version}`, node && `node ${node}`].filter(Boolean).join(', ') || '–';
  showLabels(Object.fromEntries(labels.split(',').filter(Boolean).map((pair) => pair.split('='))));
  showTopics();
  showCommands();
  showPresence(present.size);
}

function showLabels(of) {
  const chips = Object.entries(of).sort().map(([key, value]) => element('span', 'tag', value ? `${key}=${value}` : key));
  $('labels').replaceChildren(...(chips.length ? chips : ['none']));
}

function showTopics() {
  const own = client.subscriptions.filter((topic) => !topic.startsWith('$')).sort();
  $('topics').replaceChildren(
    ...own.map((topic) => {
      const remove = element('button', 'remove', '×');
      remove.type = 'button';
      remove.setAttribute('aria-label', `Unsubscribe from ${topic}`);
      remove.addEventListener('click', () => attempt(client.unsubscribe(topic), showTopics));
      return element('span', 'tag', topic, remove);
    }),
  );
}

// Who is here

function showPresence(total) {
  const sessions = [...present.values()];
  const own = present.get(sessionId);
  if (own?.labels) showLabels(own.labels);
  sessions.sort((a, b) => (b.session_id === sessionId) - (a.session_id === sessionId) || (a.user_id || '~').localeCompare(b.user_id || '~'));
  $('presence').replaceChildren(...sessions.slice(0, 20).map(person));
  $('presence-count').textContent = total ? `${total} ${total === 1 ? 'session' : 'sessions'}` : '';
  $('presence-empty').hidden = sessions.length > 0;
  messages.rename(new Map(sessions.map((session) => [session.session_id, session.user_id])));
}

function person(session) {
  const name = session.user_id || 'anonymous';
  const mine = session.session_id === sessionId;
  const initial = element('span', `face hue-${[...name].reduce((sum, char) => sum * 31 + char.codePointAt(0), 7) % 6}`, session.user_id ? [...name][0].toUpperCase() : '·');
  initial.setAttribute('aria-hidden', 'true');
  const title = element('span', 'name', name);
  if (mine) title.append(element('span', 'you', 'you'));
  const details = Object.entries(session.labels ?? {}).filter(([key]) => !key.startsWith('client/')).map(([key, value]) => `${key}=${value}`);
  const item = element('li', mine ? 'mine' : '', initial, element('span', 'who', title, element('span', 'about', [session.protocol, ...details].filter(Boolean).join(' · '))));
  item.dataset.sessionId = session.session_id;
  item.title = session.session_id;
  return item;
}

// Commands to paste

function showCommands() {
  const addr = control.addr === '127.0.0.1:50051' ? '' : ` --addr ${control.addr}`;
  const send = (what) => `${control.ctl} send${addr} ${what}`;
  const first = labels.split(',').find((pair) => pair.includes('='));
  const commands = [['Everybody', send(`--all '{"hello":1}'`)]];
  if (user) commands.push(['You, on all your devices', send(`--user ${user} '{"hello":1}'`)]);
  commands.push(['The chat', send(`--topic ${CHAT} '{"text":"from a terminal"}'`)]);
  if (first) commands.push(['Whoever has your label', send(`--where ${first} '{"hello":1}'`)]);
  commands.push(['Everybody but this session', send(`--all --except ${sessionId} '{"hello":1}'`)]);
  commands.push(['See what clients do', `${control.ctl} watch${addr}`]);
  $('try').replaceChildren(
    ...commands.map(([title, command]) => {
      const copy = element('button', 'copy', 'Copy');
      copy.type = 'button';
      copy.setAttribute('aria-label', `Copy: ${title}`);
      copy.addEventListener('click', async () => {
        try {
          await navigator.clipboard.writeText(command);
          copy.textContent = 'Copied';
        } catch {
          getSelection().selectAllChildren(copy.parentElement.querySelector('code'));
          copy.textContent = 'Ctrl-C';
        }
        setTimeout(() => {
          copy.textContent = 'Copy';
        }, 1500);
      });
      // Broken between words only, not after a hyphen.
      const code = element('code', '', ...command.split(' ').flatMap((word) => [element('span', '', word), ' ']));
      code.tabIndex = 0;
      return element('li', '', element('span', 'what', title), copy, code);
    }),
  );
}

// What one can do

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

async function attempt(promise, then = () => {}) {
  try {
    then(await promise);
    $('problem').textContent = '';
  } catch (error) {
    $('problem').textContent = error.message;
  }
}

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('chat-input').value.trim();
  if (!text || client.state.name !== 'open') return;
  const upstream = $('chat-to').value === 'upstream';
  const data = upstream ? parsed(text) : { text };
  const name = upstream ? 'note' : 'chat';
  // What is published never comes back to its sender, so we show it ourselves.
  const shown = messages.add({ topic: upstream ? '' : CHAT, event: name, data }, { own: true, status: 'sending' });
  if (upstream) shown.querySelector('.topic').textContent = 'to the backend';
  const status = shown.querySelector('.status');
  attempt(
    (upstream ? client.send(name, data) : client.publish(CHAT, data, { event: name })).catch((error) => {
      status.textContent = 'refused';
      shown.classList.add('refused');
      throw error;
    }),
    () => {
      status.textContent = 'sent';
    },
  );
  $('chat-input').value = '';
});

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

$('chat-to').addEventListener('change', () => {
  const upstream = $('chat-to').value === 'upstream';
  $('chat-input').placeholder = upstream ? 'Text or JSON for whoever watches' : `Say something to everybody on ${CHAT}`;
});

$('subscribe').addEventListener('submit', (event) => {
  event.preventDefault();
  const topic = $('subscribe-topic').value.trim();
  if (!topic) return;
  attempt(client.subscribe(topic), () => {
    $('subscribe-topic').value = '';
    showTopics();
  });
});

$('rename-user').value = user;
for (const name of ['labels', 'topics']) {
  if (!page.has(name)) continue;
  $('rename').append(Object.assign(element('input'), { type: 'hidden', name, value: page.get(name) }));
}

$('reconnect').addEventListener('click', () => client.connect());
showCommands();
