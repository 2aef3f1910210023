/** Functions by key: `add` returns what removes them again. */
export class Listeners<F> {
  private readonly byKey = new Map<string, Set<F>>();

  add(key: string, listener: F): () => void {
    let all = this.byKey.get(key);
    if (!all) this.byKey.set(key, (all = new Set()));
    all.add(listener);
    return () => all.delete(listener);
  }

  /** A copy: listeners may add and remove others. */
  of(key: string): F[] {
    return [...(this.byKey.get(key) ?? [])];
  }

  clear(key: string): void {
    this.byKey.delete(key);
  }
}
