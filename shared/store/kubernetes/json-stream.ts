/*
 * Reads JSON while it arrives, without ever holding the whole text: a list of 500 pods is megabytes, of which a few
 * kilobytes are kept.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const NEWLINE = 0x0a;

/** The answer is not the JSON that was asked for, or not all of it. */
export class JsonStreamError extends Error {
  override readonly name = "JsonStreamError";
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new JsonStreamError(`not JSON: ${text.slice(0, 80)}`, { cause: error });
  }
}

/** Pieces of a text that came in chunks. */
class Pieces {
  #chunks: Buffer[] = [];

  add(chunk: Buffer, from: number, to: number): void {
    if (to > from) this.#chunks.push(chunk.subarray(from, to));
  }

  take(): string {
    const text = Buffer.concat(this.#chunks).toString("utf8");
    this.#chunks = [];
    return text;
  }
}

/**
 * A list's items one by one, in order, and at the end the list without them.
 * @param onItem Is given each element of the top-level `items`.
 * @returns What the list says of itself, with `items: []`.
 * @throws JsonStreamError when it is no object, or not whole.
 */
export async function readList(body: AsyncIterable<Buffer>, onItem: (item: unknown) => void): Promise<unknown> {
  const envelope = new Pieces();
  const item = new Pieces();
  let depth = 0;
  let inText = false;
  let escaped = false;
  let inItems = false;
  let done = false;
  /** Bytes of a key at depth 1, to know the one that is "items". */
  let key = "";
  let keyStart = false;
  for await (const chunk of body) {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (inText) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inText = false;
        else if (keyStart && key.length < 8 && byte !== undefined) key += String.fromCharCode(byte);
        continue;
      }
      switch (byte) {
        case QUOTE:
          inText = true;
          keyStart = depth === 1;
          if (keyStart) key = "";
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          if (byte === OPEN_BRACKET && depth === 1 && key === "items") {
            envelope.add(chunk, from, at + 1);
            from = at + 1;
            inItems = true;
          } else if (inItems && depth === 2) {
            // What stands between items is white space and commas.
            from = at;
          }
          depth += 1;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          depth -= 1;
          if (inItems && depth === 2) {
            item.add(chunk, from, at + 1);
            from = at + 1;
            onItem(parsed(item.take()));
          } else if (inItems && depth === 1) {
            inItems = false;
            from = at;
          }
          if (depth === 0) done = true;
          break;
        default:
      }
    }
    if (!inItems) envelope.add(chunk, from, chunk.length);
    else if (depth > 2) item.add(chunk, from, chunk.length);
  }
  if (!done) throw new JsonStreamError("the list ended before its end");
  return parsed(envelope.take());
}

/** The documents of a watch: one a line. A last line without its end is dropped: the connection broke within it. */
export async function* readLines(body: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  const line = new Pieces();
  for await (const chunk of body) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      line.add(chunk, from, at);
      from = at + 1;
      const text = line.take();
      if (text.trim() !== "") yield parsed(text);
    }
    line.add(chunk, from, chunk.length);
  }
}

/** The whole answer as one document. @throws JsonStreamError */
export async function readDocument(body: AsyncIterable<Buffer>): Promise<unknown> {
  const text = new Pieces();
  for await (const chunk of body) text.add(chunk, 0, chunk.length);
  return parsed(text.take());
}
