import { expect, test } from "vitest";
import { groupsText } from "./groups-text.ts";

const member = (name: string, state: "Ready" | "Draining" | "NotReady", weight = 1) => ({
  pod: `default/${name}`,
  state,
  weight,
  addresses: ["192.0.2.1"],
  participants: 1,
});
const client = { addresses: ["192.0.2.9"], moves: 0, away: [], gone: false };

test("members with their clients, who was moved, who waits and what is wrong", () => {
  const group = {
    service: "default/planner",
    meet: true,
    isolated: true,
    members: [member("planner-1", "Ready", 3), member("planner-2", "Draining")],
    clients: [
      { ...client, participant: "a".repeat(24), member: "default/planner-1", moves: 1, away: ["default/planner-2"] },
      { ...client, participant: "b".repeat(24), pod: "default/robot", name: 'arm "1"' },
      { ...client, participant: "c".repeat(24), gone: true },
    ],
    moved: 1,
  };
  const problems = ["spec.serviceGroups[1].service: there is no Service default/x; create it, or name another one"];
  const text = groupsText([
    { instance: "relay", domains: [{ discoveryDomain: "default/cell", groups: [group], problems }] },
  ]);
  expect(text.split("\n")).toEqual([
    "DiscoveryDomain default/cell",
    "  Service default/planner: 2 members, 2 clients, 1 moved, isolated",
    "    default/planner-1 Ready, weight 3: 1 client, 1 participant of its own",
    `      ${"a".repeat(24)} 192.0.2.9, moved once, kept from default/planner-2`,
    "    default/planner-2 Draining: 0 clients, 1 participant of its own",
    "    ! introduced to nobody, because no member is ready: 1 client",
    `      ${"b".repeat(24)} pod default/robot "arm \\"1\\"" 192.0.2.9`,
    `  ! ${problems[0]}`,
    "",
  ]);
});

test("without groups it says so", () => {
  const domains = [{ discoveryDomain: "default/cell", groups: [], problems: [] }];
  expect(groupsText([{ instance: "relay", domains }])).toMatch(/^no service groups: .*spec\.serviceGroups\n$/);
});
