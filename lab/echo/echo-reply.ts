/** Longest TCP request line; a longer one ends the connection. */
export const LINE_LIMIT_BYTES = 64 * 1024;
/** Largest UDP payload over IPv4. */
const DATAGRAM_LIMIT_BYTES = 65_507;

/** The answer to a datagram or a line: the service's name on a line, then the request, cut to what a datagram can hold. */
export function echoReply(name: string, request: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${name}\n`), request]).subarray(0, DATAGRAM_LIMIT_BYTES);
}

/** Cuts a byte stream into lines, their ends included. */
export class LineSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /** Lines that `chunk` completes; undefined when a line exceeds the limit. */
  push(chunk: Buffer): Buffer[] | undefined {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const lines: Buffer[] = [];
    for (let end = data.indexOf(0x0a); end >= 0; end = data.indexOf(0x0a)) {
      if (end + 1 > LINE_LIMIT_BYTES) return undefined;
      lines.push(data.subarray(0, end + 1));
      data = data.subarray(end + 1);
    }
    this.#rest = data;
    return data.length > LINE_LIMIT_BYTES ? undefined : lines;
  }

  /** What came after the last line's end. */
  get rest(): Buffer {
    return this.#rest;
  }
}
