import { u16At } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { RtpsBuildError, RtpsParseError } from "./errors.ts";
import { knownAs, PARAMETER_ID } from "./parameter-ids.ts";

export type Parameter = {
  readonly id: number;
  /** In the list's byte order, padded to a multiple of 4. */
  readonly value: Uint8Array;
};

/** The longest value: a multiple of 4 that its 16-bit length can say. */
const MAX_VALUE_LENGTH = 65_532;

/**
 * RTPS 9.4.2.11: a list of parameters as it lies in a datagram. The list was walked once when it was made, so that its
 * end is known; values are views. Iterating gives all but padding and the sentinel.
 */
export class ParameterList implements Iterable<Parameter> {
  /** Where the list lies: [offset, end) of `source`, the sentinel included. */
  readonly source: Uint8Array;
  readonly offset: number;
  readonly end: number;
  readonly littleEndian: boolean;

  private constructor(source: Uint8Array, offset: number, end: number, littleEndian: boolean) {
    this.source = source;
    this.offset = offset;
    this.end = end;
    this.littleEndian = littleEndian;
  }

  /** The list that begins at `offset` and has its sentinel before `limit`, or an `RtpsParseError`. */
  static at(source: Uint8Array, offset: number, limit: number, littleEndian: boolean): ParameterList {
    const end = sentinelEnd(source, offset, limit, littleEndian);
    return new ParameterList(source, offset, end, littleEndian);
  }

  /** A list of `parameters`, to be written; values are padded to a multiple of 4. */
  static of(parameters: Iterable<Parameter>, { littleEndian = true } = {}): ParameterList {
    const writer = new ParameterWriter(littleEndian);
    for (const { id, value } of parameters) {
      writer.add(id, `parameter ${id}`, (into) => into.octets(value));
    }
    const bytes = writer.finish();
    return new ParameterList(bytes, 0, bytes.length, littleEndian);
  }

  /** All octets of the list, the sentinel included. */
  get bytes(): Uint8Array {
    return this.source.subarray(this.offset, this.end);
  }

  cursor(): ParameterCursor {
    return new ParameterCursor(this);
  }

  *[Symbol.iterator](): Generator<Parameter> {
    for (const cursor = this.cursor(); cursor.next(); ) {
      yield { id: cursor.id, value: this.source.subarray(cursor.start, cursor.end) };
    }
  }

  /** The first parameter of that id. It walks the list: for more than one or two ids, iterate. */
  find(id: number): Parameter | undefined {
    for (const cursor = this.cursor(); cursor.next(); ) {
      if (knownAs(cursor.id) === id) return { id, value: this.source.subarray(cursor.start, cursor.end) };
    }
    return undefined;
  }
}

/** Walks a list without making anything: `id`, and where in `source` the value starts and ends. */
export class ParameterCursor {
  readonly #list: ParameterList;
  id = 0;
  start: number;
  end: number;

  constructor(list: ParameterList) {
    this.#list = list;
    this.start = list.offset;
    this.end = list.offset;
  }

  next(): boolean {
    const { source, littleEndian } = this.#list;
    do {
      this.id = u16At(source, this.end, littleEndian);
      if (this.id === PARAMETER_ID.sentinel) return false;
      this.start = this.end + 4;
      this.end = this.start + u16At(source, this.end + 2, littleEndian);
    } while (this.id === PARAMETER_ID.pad);
    return true;
  }
}

function sentinelEnd(source: Uint8Array, offset: number, limit: number, littleEndian: boolean): number {
  for (let at = offset; ; ) {
    if (limit - at < 4) throw new RtpsParseError(at, "the parameter list ends without a sentinel");
    const id = u16At(source, at, littleEndian);
    if (id === PARAMETER_ID.sentinel) return at + 4;
    const length = u16At(source, at + 2, littleEndian);
    if (length % 4 !== 0) throw new RtpsParseError(at, `a parameter's length of ${length} is no multiple of 4`);
    if (length > limit - at - 4) {
      throw new RtpsParseError(at, `a parameter of ${length} octets has ${limit - at - 4} octets left`);
    }
    at += 4 + length;
  }
}

/** Writes a parameter list; `finish` ends it with the sentinel. */
export class ParameterWriter {
  readonly #writer: ByteWriter;

  /** With `encapsulation`, the list is a payload and begins with its identifier (RTPS 10.2). */
  constructor(littleEndian: boolean, encapsulation?: number) {
    this.#writer = new ByteWriter(false);
    if (encapsulation !== undefined) {
      this.#writer.u16(encapsulation, "encapsulation");
      this.#writer.zeros(2);
    }
    this.#writer.littleEndian = littleEndian;
  }

  add(id: number, field: string, write: (writer: ByteWriter, field: string) => void): void {
    const writer = this.#writer;
    if (id === PARAMETER_ID.sentinel) throw new RtpsBuildError(field, "the sentinel ends a list by itself");
    writer.u16(id, field);
    writer.zeros(2);
    const start = writer.length;
    write(writer, field);
    writer.align(start);
    const length = writer.length - start;
    if (length > MAX_VALUE_LENGTH)
      throw new RtpsBuildError(field, `${length} octets are more than ${MAX_VALUE_LENGTH}`);
    writer.setU16(start - 2, length, field);
  }

  finish(): Uint8Array<ArrayBuffer> {
    this.#writer.u16(PARAMETER_ID.sentinel, "sentinel");
    this.#writer.zeros(2);
    return this.#writer.finish();
  }
}
