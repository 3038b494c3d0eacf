import { digest } from "#shared/balance/stable-hash.ts";

/** Another gateway, as far as it was heard lately. */
export interface Sister {
  /** Differs from every other gateway's. */
  readonly id: string;
  /** Networks of ours on which it was heard. */
  readonly networks: ReadonlySet<string>;
  /** Numbers of the copies that it makes or would make at once: {@link copyNumber}. */
  readonly offers: ReadonlySet<number>;
}

/** 32 bits that stand for a copy on the wire. Two copies with the same number share their fate. */
export const copyNumber = (key: string): number => digest(key).readUInt32BE(0);

const score = (id: string, key: string): string => digest(`${id} ${key}`).toString("hex");

/**
 * Who makes a copy: of those that reach both networks and offer it, the one with the highest hash of its id and the copy's
 * name (rendezvous hashing), so that copies are shared evenly, and one gateway more or less moves only what becomes or was
 * its own.
 *
 * A gateway counts for the others only while it is heard on both networks and says that it would make this very copy. What
 * two do not agree about is copied twice, which readers notice by its sequence number; nothing is copied by nobody.
 */
export function election(
  ownId: string,
  sisters: Iterable<Sister>,
  copy: { readonly key: string; readonly from: string; readonly to: string },
): { readonly isOurs: boolean; readonly contested: boolean } {
  const number = copyNumber(copy.key);
  const own = score(ownId, copy.key);
  let isOurs = true;
  let contested = false;
  for (const { id, networks, offers } of sisters) {
    if (!networks.has(copy.from) || !networks.has(copy.to) || !offers.has(number)) continue;
    contested = true;
    if (score(id, copy.key) > own) isOurs = false;
  }
  return { isOurs, contested };
}
