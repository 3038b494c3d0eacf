import type { Flow, Leg } from "./intent-types.ts";
import { isPrimary } from "./primary-network.ts";

/** Replies from these ports of a target come, for the client, from this VIP and port. */
interface Claim {
  readonly from: number;
  readonly to: number;
  readonly vip: string;
  /** The VIP's port; absent: the target's own. */
  readonly visible: number | undefined;
}

const text = ({ from, to, vip, visible }: Claim): string =>
  `port ${from === to ? from : `${from}-${to}`} for ${vip}${visible === undefined ? "" : ` port ${visible}`}`;

/**
 * NAT without state: what a reply's source becomes follows from the target's address and port alone, so each port of a
 * target can answer for one VIP and port. Who comes first has it.
 */
export class ReturnClaims {
  readonly #claims = new Map<string, Claim[]>();

  /** @returns what stands in the way, in words; undefined when the flow now has all that it needs. */
  claim(flow: Omit<Flow, "table" | "draining">, legs: readonly Leg[]): string | undefined {
    const [vip, another] = flow.vips;
    // What is tracked needs no claim.
    const stateless = legs.filter((leg) => !isPrimary(leg));
    if (vip === undefined || stateless.length === 0) return undefined;
    if (another !== undefined) return `the flow has several VIPs of one family (${flow.vips.join(", ")})`;
    const wanted = stateless.flatMap((leg) => this.#wanted(flow, leg, vip));
    for (const { at, claim } of wanted) {
      const other = this.#claims
        .get(at)
        ?.find((known) => known.from <= claim.to && claim.from <= known.to && !same(known, claim));
      if (other) return `target ${at} already answers from ${text(other)}`;
    }
    for (const { at, claim } of wanted) {
      const known = this.#claims.get(at);
      if (known) known.push(claim);
      else this.#claims.set(at, [claim]);
    }
    return undefined;
  }

  #wanted(
    flow: Omit<Flow, "table" | "draining">,
    leg: Leg,
    vip: string,
  ): readonly { readonly at: string; readonly claim: Claim }[] {
    const address = leg.addresses[flow.family];
    if (address === undefined) return [];
    const [single] = flow.destinationPorts;
    const ranges = flow.destinationPorts.length === 0 ? [{ from: 0, to: 65535 }] : flow.destinationPorts;
    const claims: Claim[] =
      leg.port === undefined
        ? ranges.map(({ from, to }) => ({ from, to, vip, visible: undefined }))
        : [{ from: leg.port, to: leg.port, vip, visible: single?.from }];
    return flow.protocols.flatMap((protocol) => claims.map((claim) => ({ at: `${protocol} ${address}`, claim })));
  }
}

/** Whether two claims say the same wherever they overlap. */
function same(a: Claim, b: Claim): boolean {
  return a.vip === b.vip && a.visible === b.visible;
}
