import { type Data, type DataFrag, type FragmentNumberSet, PARAMETER_ID, ParameterList } from "rtps-wire";

/** Most fragments that a NACK_FRAG can ask for. */
const NACK_BITS = 256;

/** What STATUS_INFO and KEY_HASH say of a sample; copied, because parameter lists are views over their datagram. */
const KEPT_PARAMETERS: ReadonlySet<number> = new Set([PARAMETER_ID.keyHash, PARAMETER_ID.statusInfo]);

/** Octets that assembling the sample of this fragment takes. */
export function assemblyOctets({ sampleSize, fragmentSize }: DataFrag): number {
  return sampleSize + Math.ceil(sampleSize / fragmentSize);
}

/** Puts the fragments of one sample together (RTPS 8.3.8.3), in any order and however often they come. */
export class SampleAssembly {
  readonly octets: number;
  readonly #form: Omit<DataFrag, "payload" | "inlineQos">;
  readonly #payload: Uint8Array;
  /** 1 for each fragment that is there; the first fragment is number 1. */
  readonly #isThere: Uint8Array;
  #missing: number;
  #inlineQos: ParameterList | undefined;
  progressMs: number;

  constructor(first: DataFrag, nowMs: number) {
    const count = Math.ceil(first.sampleSize / first.fragmentSize);
    const { payload: _payload, inlineQos: _inlineQos, ...form } = first;
    this.#form = form;
    this.#payload = new Uint8Array(first.sampleSize);
    this.#isThere = new Uint8Array(count);
    this.#missing = count;
    this.octets = assemblyOctets(first);
    this.progressMs = nowMs;
  }

  /** Fragments that belong to another form of the sample, or are shorter than they say, are left out. */
  add(fragment: DataFrag, nowMs: number): void {
    const { fragmentSize, sampleSize, payloadKind } = this.#form;
    if (fragment.fragmentSize !== fragmentSize || fragment.sampleSize !== sampleSize) return;
    if (fragment.payloadKind !== payloadKind) return;
    const { fragmentStart, fragmentCount, payload, inlineQos } = fragment;
    const start = (fragmentStart - 1) * fragmentSize;
    const length = Math.min(fragmentCount * fragmentSize, sampleSize - start);
    if (payload.length < length) return;
    for (let index = fragmentStart - 1; index < fragmentStart - 1 + fragmentCount; index++) {
      if (this.#isThere[index] !== 0) continue;
      const from = index * fragmentSize;
      const to = Math.min(from + fragmentSize, sampleSize);
      this.#payload.set(payload.subarray(from - start, to - start), from);
      this.#isThere[index] = 1;
      this.#missing -= 1;
      this.progressMs = nowMs;
    }
    this.#inlineQos ??= inlineQos && keptParameters(inlineQos);
  }

  get isWhole(): boolean {
    return this.#missing === 0;
  }

  /** The sample as if it had come in one piece. */
  data(): Data {
    const { readerId, writerId, writerSn, payloadKind, nonStandardPayload } = this.#form;
    const inlineQos = this.#inlineQos && { inlineQos: this.#inlineQos };
    const ends = { kind: "data", readerId, writerId, writerSn } as const;
    return { ...ends, ...inlineQos, payloadKind, payload: this.#payload, nonStandardPayload };
  }

  /** The first that are missing. */
  missing(): FragmentNumberSet {
    const first = this.#isThere.indexOf(0);
    const bits = Math.min(NACK_BITS, this.#isThere.length - first);
    const bitmap = new Array<number>((bits + 31) >>> 5).fill(0);
    for (let bit = 0; bit < bits; bit++) {
      if (this.#isThere[first + bit] !== 0) continue;
      bitmap[bit >>> 5] = ((bitmap[bit >>> 5] ?? 0) | (1 << (31 - (bit & 31)))) >>> 0;
    }
    return { base: first + 1, numBits: bits, bitmap };
  }
}

function keptParameters(list: ParameterList): ParameterList {
  const kept = [...list].filter(({ id }) => KEPT_PARAMETERS.has(id));
  return ParameterList.of(kept, { littleEndian: list.littleEndian });
}
