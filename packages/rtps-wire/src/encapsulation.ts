import { u16At } from "./byte-reader.ts";
import { RtpsParseError } from "./errors.ts";
import { ParameterList } from "./parameter-list.ts";

/** RTPS 10.2: how a payload is written. */
export const ENCAPSULATION = { cdrBe: 0, cdrLe: 1, plCdrBe: 2, plCdrLe: 3 } as const;

/** Identifier and options. */
const ENCAPSULATION_LENGTH = 4;

/** The identifier that a payload begins with. Big-endian in any case. */
export function encapsulationOf(payload: Uint8Array): number {
  if (payload.length < ENCAPSULATION_LENGTH) {
    throw new RtpsParseError(payload.length, `a payload begins with ${ENCAPSULATION_LENGTH} octets of encapsulation`);
  }
  return u16At(payload, 0, false);
}

/** The parameter list that a payload of a discovery topic is. Offsets, in errors too, count from the payload's start. */
export function readParameters(payload: Uint8Array): ParameterList {
  const encapsulation = encapsulationOf(payload);
  if (encapsulation !== ENCAPSULATION.plCdrBe && encapsulation !== ENCAPSULATION.plCdrLe) {
    throw new RtpsParseError(0, `encapsulation ${encapsulation} is no parameter list`);
  }
  const littleEndian = encapsulation === ENCAPSULATION.plCdrLe;
  return ParameterList.at(payload, ENCAPSULATION_LENGTH, payload.length, littleEndian);
}
