import { expect, test } from "vitest";
import { cidr, cidrSpan, ip } from "#shared/net/ip.ts";
import { chooseVoice } from "./choose-voice.ts";
import type { OwnAddress } from "./plan-sockets.ts";

const VIP = "198.51.100.1";
const OWN: readonly OwnAddress[] = [
  { address: ip("10.1.0.11"), span: cidrSpan(cidr("10.1.0.0/24")), isVip: false },
  { address: ip("10.2.0.11"), span: cidrSpan(cidr("10.2.0.0/24")), isVip: false },
  { address: ip(VIP), span: cidrSpan(cidr(`${VIP}/32`)), isVip: true },
];
const ALL = ["0.0.0.0", "10.1.0.11", "10.2.0.11", VIP];
const [NEAR, FAR] = [ip("10.1.0.21"), ip("203.0.113.9")];

test.each([
  ["on our network: as the kernel finds the way, whatever it spoke to", NEAR, VIP, ALL, "0.0.0.0"],
  ["on our network, and we listen at some addresses only", NEAR, VIP, ["10.1.0.11", VIP], "10.1.0.11"],
  ["on our network, where we have no address to speak from", NEAR, VIP, ["10.2.0.11", VIP], VIP],
  ["behind a router: from where it spoke to, the VIP", FAR, VIP, ALL, VIP],
  [
    "behind a router: from where it spoke to, the address that a VIP was translated to",
    FAR,
    "10.2.0.11",
    ALL,
    "10.2.0.11",
  ],
  ["behind a router, and the address is no longer ours", FAR, "10.9.0.9", ALL, VIP],
  ["behind a router, heard by a sister only: from the VIP", FAR, undefined, ALL, VIP],
  ["behind a router, and there is no VIP", FAR, undefined, ["0.0.0.0", "10.1.0.11"], "0.0.0.0"],
  ["one of the listen addresses, when nothing is known", FAR, undefined, ["10.2.0.11"], "10.2.0.11"],
  ["a link-local address", undefined, undefined, ["::", "fd00::1"], "::"],
  ["no socket", FAR, undefined, [], undefined],
] as const)("%s", (_, to, heardAt, bound, voice) => {
  expect(chooseVoice({ to, heardAt, own: OWN, bound })).toBe(voice);
});
