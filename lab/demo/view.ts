import type { LabStatus } from "../lab-status.ts";
import { table } from "../render-status.ts";
import type { TrafficReport } from "../traffic/report.ts";
import { packetsByNode } from "./once.ts";

export interface ViewInput {
  readonly status: LabStatus;
  /** The status before this one, and the time between them: for rates. */
  readonly previous?: { readonly status: LabStatus; readonly elapsedMs: number };
  readonly traffic: readonly TrafficReport[];
  /** Commands to try. */
  readonly hints: readonly string[];
}

/** The live view as lines of at most `width` characters, at most `height` of them. Pure; no escape sequences. */
export function renderView(input: ViewInput, width: number, height: number): string[] {
  const { status, hints } = input;
  const state = status.converged ? "converged" : `waiting for ${status.waitingFor[0] ?? "changes to end"}`;
  const top = [`causeway lab ${status.name} · topology ${status.topology} · ${state}`, "", ...drawing(input), ""];
  const bottom = [
    "",
    ...trafficLines(input.traffic),
    "",
    ...hints.map((hint) => `  ${hint}`),
    "  Ctrl-C tears the lab down",
  ];
  const vips = vipLines(status);
  const room = Math.max(2, height - top.length - bottom.length);
  const shown = vips.length <= room ? vips : [...vips.slice(0, room - 1), `… and ${vips.length - room + 1} more`];
  return [...top, ...shown, ...bottom]
    .slice(0, height)
    .map((line) => (line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`));
}

/** Clients, routers, gateway instances and targets, from left to right, joined by lines. */
function drawing({ status, previous, traffic }: ViewInput): string[] {
  const of = (role: string) => status.nodes.filter((node) => node.role === role);
  const down = (name: string) =>
    status.nodes.some((node) => node.name === name && (node.stopped || node.processes.some(({ ready }) => !ready)));
  const packets = packetsByNode(status);
  const before = previous === undefined ? undefined : packetsByNode(previous.status);
  const gateways = of("gateway").map(({ name }) => {
    const sessions = status.sessions.filter(({ node }) => node === name);
    const up = sessions.filter(({ state }) => state === "Established" || state === "Static").length;
    const delta = (packets.get(name) ?? 0) - (before?.get(name) ?? packets.get(name) ?? 0);
    const rate = previous === undefined ? 0 : Math.max(0, Math.round((delta / previous.elapsedMs) * 1000));
    return [mark(name, down), `${up}/${sessions.length}`, String(rate)];
  });
  const targets = of("target").map(({ name }) => {
    const answers = traffic.reduce((sum, report) => sum + (report.targets[name] ?? 0), 0);
    return [mark(name, down), String(answers), String(targetPackets(status, name))];
  });
  const columns = [
    table([["CLIENT"], ...of("client").map(({ name }) => [name])]),
    table([["ROUTER"], ...of("router").map(({ name }) => [mark(name, down)])]),
    table([["INSTANCE", "BGP", "PKT/S"], ...gateways]),
    table([["TARGET", "ANSWERS", "PACKETS"], ...targets]),
  ].filter((column) => column.length > 1);
  return joinColumns(columns);
}

function mark(name: string, down: (name: string) => boolean): string {
  return `${down(name) ? "✗" : "●"} ${name}`;
}

/** Packets to a target; two tenants' Pods never have one name in a lab, where nodes have unique names. */
function targetPackets(status: LabStatus, name: string): number {
  return status.targets
    .filter((target) => target.name.endsWith(`/${name}`))
    .reduce((sum, target) => sum + target.packets, 0);
}

/** Columns of cells, the first cell a title, joined by lines from each column's cells to the next one's. */
function joinColumns(columns: readonly (readonly string[])[]): string[] {
  const rows = Math.max(0, ...columns.map((column) => column.length));
  const widths = columns.map((column) => Math.max(...column.map((cell) => cell.length)));
  return Array.from({ length: rows }, (_, row) =>
    columns
      .map((column, index) => {
        const next = columns[index + 1];
        const cell = (column[row] ?? "").padEnd(widths[index] ?? 0);
        if (next === undefined) return cell;
        return `${cell}${row === 0 ? "     " : joint(row - 1, column.length - 1, next.length - 1)}`;
      })
      .join("")
      .trimEnd(),
  );
}

/** Line between a column of `left` cells and one of `right` cells, at a row. */
function joint(row: number, left: number, right: number): string {
  const [enters, leaves] = [row < left, row < right];
  if (!enters && !leaves) return "     ";
  const above = row > 0;
  const below = row + 1 < Math.max(left, right);
  const lead = enters ? "─" : " ";
  const tail = leaves ? "─ " : "  ";
  if (!above && !below) return ` ${lead}─${tail}`;
  const corners = above
    ? below
      ? enters
        ? leaves
          ? "┼"
          : "┤"
        : leaves
          ? "├"
          : "│"
      : enters
        ? leaves
          ? "┴"
          : "┘"
        : "└"
    : enters && leaves
      ? "┬"
      : "┐";
  return ` ${lead}${corners}${tail}`;
}

function vipLines(status: LabStatus): string[] {
  if (status.vips.length === 0) return ["no VIPs yet"];
  const rows = status.vips.map(({ address, gateway, expected, nextHops }) => {
    const state =
      nextHops.length === 0
        ? expected.length === 0
          ? "no targets"
          : "not routed"
        : nextHops.length < expected.length
          ? "partly routed"
          : "routed";
    return [address, gateway, state, nextHops.join(", ") || "-"];
  });
  return table([["VIP", "GATEWAY", "AT THE ROUTER", "VIA"], ...rows]);
}

function trafficLines(traffic: readonly TrafficReport[]): string[] {
  if (traffic.length === 0) return ["no traffic yet"];
  const rows = traffic.map(({ protocol, to, answered, lost, latencyMs }) => [
    protocol,
    to,
    String(answered),
    String(lost),
    String(latencyMs.p50),
  ]);
  return table([["TRAFFIC", "TO", "ANSWERED", "LOST", "MS P50"], ...rows]);
}
