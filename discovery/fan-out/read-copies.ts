import { z } from "zod";
import { parseIp } from "#shared/net/ip.ts";
import type { Copy } from "./audience.ts";
import { type FanOutNetwork, groupsName } from "./ruleset.ts";

/*
 * Reads which copies a table in the kernel makes: what an earlier process has wanted.
 */

const objects = z.object({
  nftables: z.array(
    z.looseObject({
      map: z.object({ name: z.string(), elem: z.array(z.unknown()).default([]) }).optional(),
      rule: z.object({ chain: z.string(), expr: z.array(z.unknown()) }).optional(),
    }),
  ),
});
const element = z.tuple([
  z.object({ concat: z.tuple([z.string(), z.number()]) }),
  z.object({ goto: z.object({ target: z.string() }) }),
]);
const goto = z.object({ goto: z.object({ target: z.string() }) });
/** nft 1.0.6 tells the device of a netdev table's `dup` as its address. */
const dup = z.object({ dup: z.object({ addr: z.string() }) });

/**
 * @param listing of the table, as libnftables makes it.
 * @param networks those that are known; of others nothing is told.
 */
export function copiesOf(listing: unknown, networks: readonly FanOutNetwork[]): readonly Copy[] {
  const { nftables } = objects.parse(listing);
  const next = new Map<string, string>();
  const devices = new Map<string, string[]>();
  for (const { rule } of nftables) {
    for (const statement of rule?.expr ?? []) {
      const chain = rule?.chain ?? "";
      const target = goto.safeParse(statement).data?.goto.target;
      const device = dup.safeParse(statement).data?.dup.addr;
      if (target !== undefined) next.set(chain, target);
      if (device !== undefined) devices.set(chain, [...(devices.get(chain) ?? []), device]);
    }
  }
  return nftables.flatMap(({ map }) => {
    const from = networks.find((network) => groupsName(network) === map?.name);
    if (from === undefined || map === undefined) return [];
    return map.elem.flatMap((each): Copy[] => {
      const { data } = element.safeParse(each);
      const group = data && parseIp(data[0].concat[0]);
      if (data === undefined || group === undefined) return [];
      const port = data[0].concat[1];
      const to = devices.get(next.get(data[1].goto.target) ?? "") ?? [];
      return networks
        .filter((network) => to.includes(network.interface))
        .map((network) => ({ group, port, from: from.name, to: network.name }));
    });
  });
}
