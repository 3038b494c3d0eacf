import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

/** A log file that never grows beyond twice `limitBytes`: the older half moves to `FILE.1`. */
export class BoundedLog {
  readonly #path: string;
  readonly #limitBytes: number;
  #descriptor: number;
  #size: number;

  constructor(path: string, limitBytes = 4 * 1024 * 1024) {
    this.#path = path;
    this.#limitBytes = limitBytes;
    this.#descriptor = openSync(path, "a");
    this.#size = fstatSync(this.#descriptor).size;
  }

  write(chunk: Buffer | string): void {
    const data = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    if (this.#size > 0 && this.#size + data.length > this.#limitBytes) {
      closeSync(this.#descriptor);
      renameSync(this.#path, `${this.#path}.1`);
      this.#descriptor = openSync(this.#path, "a");
      this.#size = 0;
    }
    writeSync(this.#descriptor, data);
    this.#size += data.length;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
