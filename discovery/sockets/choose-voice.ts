import { type Ip, rangeContains } from "#shared/net/ip.ts";
import { type OwnAddress, WILDCARD } from "./plan-sockets.ts";

export interface VoiceQuestion {
  /** Whom to speak to; undefined: a link-local address, which is on one of our links. */
  readonly to: Ip | undefined;
  /** The address of ours at which it was heard. */
  readonly heardAt: string | undefined;
  readonly own: readonly OwnAddress[];
  /** Addresses of our sockets, of the family. */
  readonly bound: readonly string[];
}

/**
 * From which of our sockets a datagram goes.
 *
 * To who is on a network of ours the kernel finds the way and takes the address of that network, by which sisters know us.
 * Everybody else is answered from the address that he speaks to: a pod behind a Gateway has routes of its return path for
 * packets from there and may have no others. Of those that only a sister has heard nothing is known; the VIP is every
 * relay's.
 * @returns one of `bound`; undefined when there is none.
 */
export function chooseVoice({ to, heardAt, own, bound }: VoiceQuestion): string | undefined {
  const hasVoice = (address: string): boolean => bound.includes(address);
  const anywhere = bound.find((address) => address === WILDCARD[4] || address === WILDCARD[6]);
  const near = own.filter(({ isVip, span }) => !isVip && (to === undefined || rangeContains(span, to)));
  if (to === undefined || near.length > 0) {
    const voice = anywhere ?? near.find(({ address }) => hasVoice(address))?.address;
    if (voice !== undefined) return voice;
  }
  if (heardAt !== undefined && hasVoice(heardAt)) return heardAt;
  return own.find(({ address, isVip }) => isVip && hasVoice(address))?.address ?? anywhere ?? bound[0];
}
