// The functions an application has given, and what becomes of a message that goes to them.
import type { ClientEvents, Message, MessageHandler } from './api.js';
import { Listeners } from './listeners.js';

export class Handlers {
  readonly byTopic = new Listeners<MessageHandler<any>>();
  readonly byEvent = new Listeners<MessageHandler<any>>();
  readonly listeners = new Listeners<(event: any) => unknown>();

  /**
   * Calls all handlers of a message, in order. `start` is called before if there are any, and what it returns after all of them have
   * returned and their promises are fulfilled; not if one has failed.
   */
  deliver(message: Message<any>, start: () => () => void = () => () => {}): void {
    const handlers = [...this.byTopic.of(message.topic), ...this.byEvent.of(message.event), ...this.listeners.of('message')];
    if (handlers.length === 0) return;
    const done = start();
    const running: Promise<unknown>[] = [];
    let failed = false;
    const fail = (error: unknown) => {
      failed = true;
      this.report(error, message);
    };
    for (const handler of handlers) {
      try {
        const result = handler(message);
        if (isPromise(result)) running.push(Promise.resolve(result).catch(fail));
      } catch (error) {
        fail(error);
      }
    }
    if (running.length > 0) void Promise.all(running).then(() => failed || done());
    else if (!failed) done();
  }

  emit<Name extends keyof ClientEvents>(name: Name, event: ClientEvents[Name]): void {
    for (const listener of this.listeners.of(name)) {
      try {
        listener(event);
      } catch (error) {
        if (name === 'error') complain(error);
        else this.report(error);
      }
    }
  }

  /** Never silence. */
  report(error: unknown, message?: Message): void {
    if (this.listeners.of('error').length > 0) this.emit('error', { error, message });
    else complain(error);
  }
}

const isPromise = (value: unknown): value is PromiseLike<unknown> => typeof (value as PromiseLike<unknown> | undefined)?.then === 'function';

/** Node has no reportError. */
function complain(error: unknown): void {
  if (typeof reportError === 'function') reportError(error);
  else console.error(error);
}
