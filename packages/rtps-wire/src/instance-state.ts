import { ByteReader, byteAt } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { readParameters } from "./encapsulation.ts";
import { RtpsParseError } from "./errors.ts";
import { GUID_LENGTH, type Guid, readGuid, writeGuid } from "./guid.ts";
import { knownAs, PARAMETER_ID } from "./parameter-ids.ts";
import { ParameterList } from "./parameter-list.ts";
import type { Data } from "./submessage.ts";

/** RTPS 9.6.4.9: what became of the instance. Both are usual when its writer leaves. */
export type StatusInfo = { readonly disposed: boolean; readonly unregistered: boolean };

const DISPOSED = 1;
const UNREGISTERED = 2;
const ALIVE: StatusInfo = { disposed: false, unregistered: false };

/** The STATUS_INFO of a DATA's inline QoS; without one, the instance is alive. */
export function statusInfo({ inlineQos }: Data): StatusInfo {
  const value = inlineQos?.find(PARAMETER_ID.statusInfo)?.value;
  if (value === undefined) return ALIVE;
  // Four octets, in this order in either byte order; the flags are in the last.
  const flags = byteAt(value, 3);
  return { disposed: (flags & DISPOSED) !== 0, unregistered: (flags & UNREGISTERED) !== 0 };
}

/**
 * Which participant or endpoint a DATA of a discovery topic is about: by the key hash in its inline QoS (RTPS 9.6.4.8:
 * the GUID itself), or the GUID in a payload that is a key. For samples, `readParticipantData` and `readEndpointData` tell.
 * Undefined when neither is there. Throws an `RtpsParseError` for a payload that cannot be read.
 */
export function keyGuid({ inlineQos, payload, payloadKind }: Data): Guid | undefined {
  const keyHash = inlineQos?.find(PARAMETER_ID.keyHash)?.value;
  if (keyHash !== undefined) {
    if (keyHash.length < GUID_LENGTH) throw new RtpsParseError(0, `a key hash has ${GUID_LENGTH} octets`);
    return readGuid(new ByteReader(keyHash, 0, keyHash.length, false), "keyHash");
  }
  if (payloadKind !== "key") return undefined;
  const list = readParameters(payload);
  for (const cursor = list.cursor(); cursor.next(); ) {
    const id = knownAs(cursor.id);
    if (id === PARAMETER_ID.endpointGuid || id === PARAMETER_ID.participantGuid) {
      return readGuid(new ByteReader(payload, cursor.start, cursor.end, list.littleEndian), "guid");
    }
  }
  return undefined;
}

/** Inline QoS that says that the instance of `guid` is disposed of and unregistered. */
export function goneInlineQos(guid: Guid, { littleEndian = true } = {}): ParameterList {
  const keyHash = new ByteWriter(false);
  writeGuid(keyHash, guid, "guid");
  return ParameterList.of(
    [
      { id: PARAMETER_ID.keyHash, value: keyHash.finish() },
      { id: PARAMETER_ID.statusInfo, value: Uint8Array.of(0, 0, 0, DISPOSED | UNREGISTERED) },
    ],
    { littleEndian },
  );
}
