interface Entry<T> {
  readonly atMs: number;
  readonly task: T;
}

/** What is to be done later, in the order of its time. Time is handed in; nothing is done here. */
export class Agenda<T> {
  #tasks: Entry<T>[] = [];

  add(task: T, atMs: number): void {
    this.#tasks.push({ atMs, task });
  }

  /** Takes what is due out, `most` at once. */
  due(nowMs: number, most: number): readonly T[] {
    const due: T[] = [];
    const left: Entry<T>[] = [];
    for (const entry of this.#tasks) {
      if (entry.atMs <= nowMs && due.length < most) due.push(entry.task);
      else left.push(entry);
    }
    if (due.length > 0) this.#tasks = left;
    return due;
  }

  /** After how many milliseconds the next one is due; undefined: there is none. */
  waitMs(nowMs: number): number | undefined {
    let firstMs: number | undefined;
    for (const { atMs } of this.#tasks) if (firstMs === undefined || atMs < firstMs) firstMs = atMs;
    return firstMs === undefined ? undefined : Math.max(0, firstMs - nowMs);
  }
}
