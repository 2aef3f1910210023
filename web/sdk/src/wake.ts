// When a sleeping tab wakes up or the network is back. Timers of such tabs are slow or stopped, so they do not tell.

/** Calls `wake` then. Returns what ends that. Workers have no document, Node has neither; there it never comes. */
export function onWake(wake: () => void): () => void {
  const page = typeof document === 'undefined' ? undefined : document;
  const seen = () => page?.visibilityState === 'visible' && wake();
  const heard: [Pick<EventTarget, 'addEventListener' | 'removeEventListener'> | undefined, string, () => void][] = [
    [page, 'visibilitychange', seen],
    [page, 'resume', wake],
    [globalThis, 'pageshow', wake],
    [globalThis, 'online', wake],
  ];
  for (const [target, name, listener] of heard) target?.addEventListener?.(name, listener);
  return () => {
    for (const [target, name, listener] of heard) target?.removeEventListener?.(name, listener);
  };
}
