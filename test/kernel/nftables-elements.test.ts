import { Nftables } from "nftables-ts";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { KernelBusyError, KernelExistsError, KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { type NetlinkSocket, openNetfilter } from "#shared/kernel/netlink-socket.ts";
import { changeElements, type MapChange } from "#shared/kernel/nftables-elements.ts";
import { rulesetGeneration } from "#shared/kernel/nftables-generation.ts";
import { SLOT, slotKey } from "#shared/nft/slot-key.ts";

const TABLE = { family: "inet", table: "cw-elements" } as const;
let nft: Nftables;
let netfilter: NetlinkSocket;

beforeAll(() => {
  nft = new Nftables();
  netfilter = openNetfilter();
  nft.run("add table inet cw-elements");
});
beforeEach(() => {
  nft.run(`flush ruleset
add table inet cw-elements
add chain inet cw-elements one
add chain inet cw-elements two
add map inet cw-elements slots { typeof ${SLOT} : meta mark; size 2000; }
add map inet cw-elements legs { type mark : verdict; size 2000; }
add element inet cw-elements slots { ${slotKey(7)} : 70 }
add element inet cw-elements legs { 70 : goto one }`);
});
afterAll(() => {
  nft.close();
  netfilter.close();
});

const ruleset = (): string => nft.run("list ruleset");
const change = (...changes: Omit<MapChange, "family" | "table">[]): void =>
  changeElements(
    netfilter,
    rulesetGeneration(netfilter),
    changes.map((of) => ({ ...TABLE, ...of })),
  );

it("does what nft's commands do, in one transaction", () => {
  const numbers = Array.from({ length: 1500 }, (_, slot) => slot);
  const before = rulesetGeneration(netfilter);
  change(
    { map: "slots", elements: [{ key: 7 }, ...numbers.map((key) => ({ key, data: key * 3 + 1 }))] },
    {
      map: "legs",
      elements: [
        { key: 70 },
        { key: 70, data: "jump two" },
        { key: 71, data: "goto one" },
        { key: 72, data: "accept" },
        { key: 73, data: "drop" },
      ],
    },
  );
  expect(rulesetGeneration(netfilter)).toBe(before + 1);
  const ours = ruleset();
  nft.run(`flush map inet cw-elements slots
flush map inet cw-elements legs
add element inet cw-elements slots { ${numbers.map((slot) => `${slotKey(slot)} : ${slot * 3 + 1}`).join(", ")} }
add element inet cw-elements legs { 70 : jump two, 71 : goto one, 72 : accept, 73 : drop }`);
  // The kernel lists elements in the order of its own hash, which a map keeps.
  expect(ours.split(/[,\n]\s*/).sort()).toEqual(
    ruleset()
      .split(/[,\n]\s*/)
      .sort(),
  );
});

it.each([
  [
    "an element that is not there goes",
    { map: "slots", elements: [{ key: 8, data: 1 }, { key: 9 }] },
    KernelNotFoundError,
  ],
  ["another value comes for one that stays", { map: "slots", elements: [{ key: 7, data: 1 }] }, KernelExistsError],
  ["there is no such map", { map: "others", elements: [{ key: 8, data: 1 }] }, KernelNotFoundError],
  ["there is no such chain", { map: "legs", elements: [{ key: 8, data: "goto three" as const }] }, KernelNotFoundError],
])("changes nothing when %s, and says of what", (_, wrong, error) => {
  const before = ruleset();
  expect(() => change({ map: "slots", elements: [{ key: 3, data: 1 }] }, wrong)).toThrow(error);
  expect(() => change(wrong)).toThrow(`elements of the nftables map inet cw-elements ${wrong.map}`);
  expect(ruleset()).toBe(before);
  change({ map: "slots", elements: [{ key: 3, data: 1 }] });
  expect(ruleset()).not.toBe(before);
});

it("changes nothing when somebody else changed the ruleset since it was looked at", () => {
  const generation = rulesetGeneration(netfilter);
  nft.run("add chain inet cw-elements three");
  const before = ruleset();
  const late = { ...TABLE, map: "slots", elements: [{ key: 3, data: 1 }] };
  expect(() => changeElements(netfilter, generation, [late])).toThrow(KernelBusyError);
  expect(ruleset()).toBe(before);
});

it("refuses nothing to do with nothing done", () => {
  const generation = rulesetGeneration(netfilter);
  change({ map: "slots", elements: [] });
  expect(rulesetGeneration(netfilter)).toBe(generation);
});
