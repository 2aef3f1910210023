// Code of an application, against the types as they ship. Compiled, never run; each error that is expected must be one.
import { type Gap, Herald, HeraldError, type Message, type State } from './dist/herald.js';

interface Events {
  shipped: { order: number };
  note: string;
}

const herald = new Herald<Events>({
  url: '/ws',
  token: async ({ refused, code }) => (refused && code === 4402 ? 'new' : 'token'),
  labels: { platform: 'web' },
  ack: 'manual',
  backoff: { baseMs: 100 },
  WebSocket,
});
herald.onEvent('shipped', async (message) => {
  const order: number = message.data.order;
  message.ack();
  return order;
});
const remove: () => void = herald.onEvent('note', ({ data }) => data.toUpperCase());
remove();
// @ts-expect-error: no such event
herald.onEvent('lost', () => {});
// @ts-expect-error: not a number
herald.onEvent('shipped', ({ data }) => data.order.toUpperCase());
// @ts-expect-error: no such option
new Herald({ tokens: [] });
// @ts-expect-error: read only
herald.state = { name: 'open' };
// @ts-expect-error: only while waiting
herald.state.delayMs;

herald.on('state', (state: State) => {
  if (state.name === 'waiting') state.delayMs.toFixed(state.code);
});
herald.on('gap', ({ topic, reason }: Gap) => `${topic} ${reason}`);
herald.on('error', ({ error, message }) => console.error(error, message?.id));
const subscribed: Promise<void> = herald.subscribe<{ eta: string }>('orders/42', ({ data, offset }: Message<{ eta: string }>) => data.eta + offset);
subscribed.catch((error) => error instanceof HeraldError && error.code === 'PERMISSION_DENIED');
const id: Promise<string> = herald.publish('chat', { text: 'hi' }, { event: 'said' });
void id.then(() => herald.send('seen', null));
new Herald().onEvent('anything', ({ data }) => data.whatever);
