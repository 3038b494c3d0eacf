import { z } from "zod";
import { withoutDynamic } from "./nft-listing.ts";
import type { SystemLab } from "./system-lab.ts";

/** Commands of processes, and each node's routes, rules, addresses and nftables, in an order of their own. */
export type LabSnapshot = Readonly<Record<string, readonly string[]>>;

/** Where each node's part begins in the script's output. */
const MARK = "=====";

/** What every node's kernel holds now, and which processes run: two of them tell what a kill has cost or left behind. */
export async function labSnapshot(lab: SystemLab): Promise<LabSnapshot> {
  const { nodes } = await lab.status();
  const names = nodes.filter(({ role }) => role !== "cluster").map(({ name }) => name);
  const looks = [
    "ip rule",
    "ip -6 rule",
    "ip route show table all",
    "ip -6 route show table all",
    "ip -o address",
    "nft -s list ruleset",
  ];
  const script = [
    ...names.flatMap((name) => looks.map((look) => `echo '${MARK}${name}: ${look}'; ip netns exec ${name} ${look}`)),
    `echo '${MARK}processes'; ps -eo args`,
  ].join("\n");
  const output = await lab.sh("router", script);
  const parts = output.split(MARK).slice(1);
  return Object.fromEntries(
    parts.map((part) => {
      const [title = "", ...lines] = part.split("\n");
      return [title, title === "processes" ? processes(lines) : sorted(title, lines)];
    }),
  );
}

/** Without this look itself, and without traffic. */
function processes(lines: readonly string[]): string[] {
  return lines
    .map((line) => line.trim())
    .filter(
      (line) => line !== "" && line !== "COMMAND" && !/^(sh -ec|ps -eo|ip netns)| traffic |causeway-lab/.test(line),
    )
    .sort();
}

function sorted(title: string, lines: readonly string[]): string[] {
  if (!title.includes("nft")) {
    // The next hops of a multipath route stand on lines of their own, in any order.
    const entries: string[][] = [];
    for (const line of lines) {
      if (/^\s/.test(line)) entries.at(-1)?.push(line.trim());
      else if (line !== "") entries.push([line.trim()]);
    }
    // Link-local addresses come a while after their link; they are the kernel's own affair.
    const own = entries.filter(([first = ""]) => !/fe80::/.test(first));
    return own.map(([first = "", ...more]) => [first, ...more.sort()].join(" ")).sort();
  }
  return nftParts(lines.join("\n"));
}

/** Chains, sets, maps and counters of `nft list ruleset`, sorted: the kernel lists them in the order of their creation. */
export function nftParts(listing: string): string[] {
  return withoutDynamic(listing)
    .split(/^(?=table )/m)
    .flatMap((table) => {
      const [title = "", ...lines] = table.trimEnd().split("\n");
      const parts = lines.slice(0, -1).join("\n").split("\n\n");
      return parts.map((part) => `${title} ${part.trim()}`).sort();
    });
}

const entrySchema = z.object({ msg: z.string(), changes: z.int().optional(), transactions: z.int().optional() });

/**
 * What a proxy has done to the kernel since it last died, as it logs it: an entry for each pass that programmed; the
 * first pass after a start always has one.
 */
export function programmedSinceDeath(log: string): readonly { changes: number; transactions: number }[] {
  const lines = log.split("\n");
  return lines.slice(lines.findLastIndex((line) => line.startsWith("[lab]")) + 1).flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const { msg, changes = 0, transactions = 0 } = entrySchema.parse(JSON.parse(line));
    return msg === "programmed" ? [{ changes, transactions }] : [];
  });
}
