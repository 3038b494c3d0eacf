import {
  type Data,
  type DataFrag,
  type EntityId,
  fragmentNumbers,
  type Gap,
  type Heartbeat,
  type HeartbeatFrag,
  type SubmessageInput,
  sequenceNumberSet,
  sequenceNumbers,
} from "rtps-wire";
import { type ObserverLimits, OctetBudget } from "./limits.ts";
import { assemblyOctets, SampleAssembly } from "./sample-assembly.ts";

/** How far ahead of what is missing a sample may be and is kept: what a sequence number set can say. */
const WINDOW = 256n;
/** Asked for at once, and kept out of order. */
const AHEAD = 64;
/** Samples in fragments at a time; the lowest numbers come first. */
const ASSEMBLIES = 4;
/** A sample in fragments without progress for so long is dropped, and asked for as a whole. */
const IDLE_MS = 5_000;
/** Samples that wait for an earlier one for so long are dropped, and asked for again when it is their turn. */
const WAIT_MS = 30_000;
/** Heartbeats of an earlier count come late for no longer than this; after it they are of a writer that began anew. */
const REORDERING_MS = 2_000;
/** Answers are no closer to each other. */
const ANSWER_GAP_MS = 10;
/** Kept out of order, in the budget, besides what the change itself takes. */
const ENTRY_OCTETS = 64;

/** What came of a sample: what is kept of it, and how many octets that takes. */
export interface Decoded<Change> {
  readonly change: Change;
  readonly octets: number;
}

/** What a writer's history gives, in its order. */
export type Delivery<Change> =
  | { readonly kind: "change"; readonly change: Change; readonly epoch: number; readonly writerSn: bigint }
  /**
   * All that the writer has is known, and it did not have everything that was missing: what was learned in an earlier epoch,
   * or in this one with a number below `before`, is gone.
   */
  | { readonly kind: "sweep"; readonly epoch: number; readonly before: bigint };

export interface SedpWriterOptions<Change> {
  readonly writerId: EntityId;
  readonly readerId: EntityId;
  readonly limits: ObserverLimits;
  /** Shared with other writers. */
  readonly budget: OctetBudget;
  /** Reads a sample. It never throws, and keeps no view of it. */
  readonly decode: (data: Data) => Decoded<Change>;
}

/**
 * The reader's side of one remote writer of SEDP, reliable and in order (RTPS 8.4.10.4, 8.4.12.2): takes what the writer
 * sends in any order, gives its history in order, each change once, and says what is to be sent again. Nothing that a writer
 * sends makes it keep more than `AHEAD` changes and `ASSEMBLIES` samples. Time only passes by the numbers that are
 * handed in.
 */
export class SedpWriter<Change> {
  readonly #options: SedpWriterOptions<Change>;
  readonly #budget: OctetBudget;
  /** All below is received, or will not come. */
  #next = 1n;
  /** What the writer has at most, as it says. */
  #last = 0n;
  /** Counts the writer's beginnings. */
  #epoch = 0;
  /** Received or irrelevant, at `#next` + 1 or later. */
  readonly #early = new Map<bigint, Decoded<Change> | "irrelevant">();
  readonly #assemblies = new Map<bigint, SampleAssembly>();
  /** Set while the history is being learned again or has holes; see `Delivery`. */
  #sweepBefore: bigint | undefined;
  #heartbeatCount: number | undefined;
  #heardMs = Number.NEGATIVE_INFINITY;
  #answeredMs = Number.NEGATIVE_INFINITY;
  #answerDueMs = Number.POSITIVE_INFINITY;
  /** Since when what is in `#early` waits for the same number. */
  #waitsSinceMs = 0;
  #count = 0;
  /** Samples that were too large to be put together. */
  oversized = 0;

  constructor(options: SedpWriterOptions<Change>) {
    this.#options = options;
    // An assembly takes up to two octets for each of the sample's.
    this.#budget = new OctetBudget(2 * options.limits.sampleOctets, options.budget);
  }

  /** Whether the writer has said what it has, and all of it is here. */
  get isComplete(): boolean {
    return this.#heartbeatCount !== undefined && this.#next > this.#last;
  }

  get hasHeartbeat(): boolean {
    return this.#heartbeatCount !== undefined;
  }

  /** When `answer` has something to say; infinite when not. */
  get answerDueMs(): number {
    return this.#answerDueMs;
  }

  /** Changes and samples that are kept out of order. */
  get kept(): number {
    return this.#early.size + this.#assemblies.size;
  }

  data(data: Data, nowMs: number): Delivery<Change>[] {
    const { writerSn } = data;
    if (!this.#wants(writerSn)) return [];
    this.#heardMs = nowMs;
    this.#dropAssembly(writerSn);
    return this.#received(writerSn, this.#options.decode(data));
  }

  dataFrag(fragment: DataFrag, nowMs: number): Delivery<Change>[] {
    const { writerSn, sampleSize } = fragment;
    if (!this.#wants(writerSn)) return [];
    this.#heardMs = nowMs;
    if (sampleSize > this.#options.limits.sampleOctets) {
      // Asking again would not make it smaller.
      this.oversized += 1;
      return this.#irrelevant(writerSn);
    }
    const assembly = this.#assemblies.get(writerSn) ?? this.#newAssembly(fragment, nowMs);
    assembly?.add(fragment, nowMs);
    if (!assembly?.isWhole) return [];
    this.#dropAssembly(writerSn);
    return this.#received(writerSn, this.#options.decode(assembly.data()));
  }

  heartbeat({ firstSn, lastSn, count, final }: Heartbeat, nowMs: number): Delivery<Change>[] {
    // RTPS 8.3.8.6.3; some write 0 for the first of an empty history.
    const first = firstSn < 1n ? 1n : firstSn;
    if (lastSn < first - 1n) return [];
    if (this.#heartbeatCount !== undefined && ((count - this.#heartbeatCount) | 0) <= 0) {
      if (nowMs - this.#heardMs <= REORDERING_MS) return [];
      this.#begunAnew();
    } else if (lastSn < this.#next - 1n) {
      this.#begunAnew();
    }
    this.#heartbeatCount = count;
    this.#heardMs = nowMs;
    this.#last = lastSn;
    if (first > this.#next) {
      // Less than all of what is skipped was seen, or it would have been delivered: a dispose may be among the rest.
      this.#sweepBefore = first;
    }
    const deliveries = this.#advance(first);
    if (!final || this.#next <= this.#last) this.#answerSoon(nowMs);
    return deliveries;
  }

  heartbeatFrag({ writerSn }: HeartbeatFrag, nowMs: number): void {
    if (this.#wants(writerSn) && this.#assemblies.has(writerSn)) this.#answerSoon(nowMs);
  }

  gap({ gapStart, gapList }: Gap, nowMs: number): Delivery<Change>[] {
    if (gapStart < 1n || gapList.base < gapStart) return [];
    this.#heardMs = nowMs;
    const deliveries = gapStart <= this.#next ? this.#advance(gapList.base) : [];
    const end = this.#next + WINDOW;
    for (let number = gapStart > this.#next ? gapStart : this.#next; number < gapList.base && number < end; number++) {
      deliveries.push(...this.#irrelevant(number));
    }
    for (const number of sequenceNumbers(gapList)) deliveries.push(...this.#irrelevant(number));
    return deliveries;
  }

  /**
   * Asks for a heartbeat, and says what has arrived: for a writer that has said nothing yet, or whose heartbeats may
   * have been lost (RTPS 8.4.2.3.4).
   */
  question(nowMs: number): SubmessageInput[] {
    return this.#acknowledgement(nowMs, false);
  }

  /** What is due to be said to the writer. */
  answer(nowMs: number): SubmessageInput[] {
    return nowMs < this.#answerDueMs ? [] : this.#acknowledgement(nowMs, true);
  }

  /** Lets go of what is kept out of order while nothing comes; to be called now and then. */
  tidy(nowMs: number): void {
    for (const [number, { progressMs }] of [...this.#assemblies]) {
      if (nowMs - progressMs > IDLE_MS) this.#dropAssembly(number);
    }
    if (nowMs - this.#waitsSinceMs > WAIT_MS) this.#dropEarly();
  }

  /** Gives back all that it has taken of the budget. */
  close(): void {
    for (const number of [...this.#assemblies.keys()]) this.#dropAssembly(number);
    this.#dropEarly();
  }

  #wants(number: bigint): boolean {
    return number >= this.#next && number < this.#next + WINDOW && !this.#early.has(number);
  }

  #received(number: bigint, decoded: Decoded<Change>): Delivery<Change>[] {
    if (number === this.#next) {
      this.#next += 1n;
      const { change } = decoded;
      return [{ kind: "change", change, epoch: this.#epoch, writerSn: number }, ...this.#advance(this.#next)];
    }
    // What finds no room is asked for again.
    if (this.#early.size >= AHEAD || !this.#budget.take(decoded.octets + ENTRY_OCTETS)) return [];
    this.#keep(number, decoded);
    return [];
  }

  #irrelevant(number: bigint): Delivery<Change>[] {
    if (!this.#wants(number)) return [];
    this.#dropAssembly(number);
    if (number === this.#next) return this.#advance(number + 1n);
    if (this.#early.size < AHEAD && this.#budget.take(ENTRY_OCTETS)) this.#keep(number, "irrelevant");
    return [];
  }

  /** Numbers below `next` will not come; gives what has. */
  #advance(next: bigint): Delivery<Change>[] {
    const before = this.#next;
    const deliveries: Delivery<Change>[] = [];
    const deliver = (number: bigint): void => {
      const early = this.#takeEarly(number);
      if (early === undefined || early === "irrelevant") return;
      deliveries.push({ kind: "change", change: early.change, epoch: this.#epoch, writerSn: number });
    };
    if (next > this.#next) {
      const skipped = [...this.#early.keys()].filter((number) => number < next);
      for (const number of skipped.sort((a, b) => (a < b ? -1 : 1))) deliver(number);
      this.#next = next;
    }
    while (this.#early.has(this.#next)) {
      deliver(this.#next);
      this.#next += 1n;
    }
    if (this.#next > before) this.#waitsSinceMs = this.#heardMs;
    for (const number of [...this.#assemblies.keys()]) if (number < this.#next) this.#dropAssembly(number);
    if (this.#sweepBefore !== undefined && this.isComplete) {
      deliveries.push({ kind: "sweep", epoch: this.#epoch, before: this.#sweepBefore });
      this.#sweepBefore = undefined;
    }
    return deliveries;
  }

  /** The same GUID, another history: a participant with a fixed GUID prefix that was started again. */
  #begunAnew(): void {
    this.close();
    this.#epoch += 1;
    this.#next = 1n;
    this.#sweepBefore = 1n;
  }

  #keep(number: bigint, what: Decoded<Change> | "irrelevant"): void {
    if (this.#early.size === 0) this.#waitsSinceMs = this.#heardMs;
    this.#early.set(number, what);
  }

  #dropEarly(): void {
    for (const number of [...this.#early.keys()]) this.#takeEarly(number);
  }

  #takeEarly(number: bigint): Decoded<Change> | "irrelevant" | undefined {
    const early = this.#early.get(number);
    if (early === undefined) return undefined;
    this.#early.delete(number);
    this.#budget.give(ENTRY_OCTETS + (early === "irrelevant" ? 0 : early.octets));
    return early;
  }

  #newAssembly(fragment: DataFrag, nowMs: number): SampleAssembly | undefined {
    const { writerSn } = fragment;
    if (this.#assemblies.size >= ASSEMBLIES) {
      const highest = [...this.#assemblies.keys()].reduce((a, b) => (a > b ? a : b));
      if (highest < writerSn) return undefined;
      this.#dropAssembly(highest);
    }
    if (!this.#takes(assemblyOctets(fragment), writerSn)) return undefined;
    const assembly = new SampleAssembly(fragment, nowMs);
    this.#assemblies.set(writerSn, assembly);
    return assembly;
  }

  /** What is missing first goes before what is kept out of order. */
  #takes(octets: number, writerSn: bigint): boolean {
    if (this.#budget.take(octets)) return true;
    if (writerSn !== this.#next) return false;
    this.close();
    return this.#budget.take(octets);
  }

  #dropAssembly(number: bigint): void {
    const assembly = this.#assemblies.get(number);
    if (assembly === undefined) return;
    this.#assemblies.delete(number);
    this.#budget.give(assembly.octets);
  }

  #answerSoon(nowMs: number): void {
    this.#answerDueMs = Math.min(this.#answerDueMs, Math.max(nowMs, this.#answeredMs + ANSWER_GAP_MS));
  }

  /** An ACKNACK, and a NACK_FRAG for each sample that has come in part. */
  #acknowledgement(nowMs: number, final: boolean): SubmessageInput[] {
    const { readerId, writerId } = this.#options;
    this.#answeredMs = nowMs;
    this.#answerDueMs = Number.POSITIVE_INFINITY;
    const missing: bigint[] = [];
    const end = this.#last < this.#next + WINDOW - 1n ? this.#last : this.#next + WINDOW - 1n;
    for (let number = this.#next; number <= end && missing.length < AHEAD; number++) {
      if (!this.#early.has(number) && !this.#isAssembled(number, nowMs)) missing.push(number);
    }
    const ends = { readerId, writerId };
    const set = sequenceNumberSet(this.#next, missing);
    const said: SubmessageInput[] = [{ kind: "acknack", ...ends, count: this.#nextCount(), missing: set, final }];
    for (const [number, assembly] of [...this.#assemblies].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const fragments = assembly.missing();
      if (fragmentNumbers(fragments).length === 0) continue;
      said.push({ kind: "nack-frag", ...ends, count: this.#nextCount(), writerSn: number, missing: fragments });
    }
    return said;
  }

  /** Writers take answers of a count that is higher than the last one's. */
  #nextCount(): number {
    this.#count = (this.#count + 1) >>> 0;
    return this.#count;
  }

  /** Whether fragments of that sample still come; one that has made no progress is asked for as a whole. */
  #isAssembled(number: bigint, nowMs: number): boolean {
    const assembly = this.#assemblies.get(number);
    if (assembly === undefined) return false;
    if (nowMs - assembly.progressMs <= IDLE_MS) return true;
    this.#dropAssembly(number);
    return false;
  }
}
