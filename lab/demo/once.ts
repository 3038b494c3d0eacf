import { spawn } from "node:child_process";
import { entryProgram } from "../commands.ts";
import { fetchStatus } from "../control-client.ts";
import { enterCommand, nodeEnvironment } from "../enter.ts";
import { LabError } from "../lab-error.ts";
import type { LabStatus } from "../lab-status.ts";
import type { LaunchedLab } from "../launch.ts";
import { table } from "../render-status.ts";
import { type TrafficReport, trafficReportSchema } from "../traffic/report.ts";
import { addressAndPort, destinations } from "./destinations.ts";

const EXCHANGES = 400;

/** Node that traffic starts from. @throws LabError without one. */
export function clientOf({ topology }: Pick<LaunchedLab, "topology">): string {
  const client = topology.nodes.find(({ spec }) => spec.role === "client")?.name;
  if (client === undefined)
    throw new LabError(`the topology ${topology.name} has no client; add a node of role client`);
  return client;
}

/**
 * Sends 400 exchanges to every kind of destination, one kind after the other, and prints what came back.
 * @returns 0 only if nothing was lost and every target and every instance was hit.
 */
export async function sendOnce(lab: LaunchedLab, before: LabStatus): Promise<number> {
  const goals = destinations(before);
  if (goals.length === 0)
    throw new LabError("no service has a VIP and targets; see `causeway lab status` and the manifests");
  const reports: TrafficReport[] = [];
  for (const goal of goals) reports.push(await trafficFrom(lab, clientOf(lab), goal.protocol, addressAndPort(goal)));
  const after = await fetchStatus(lab.folder);
  const { lines, ok } = summary(lab.topology, reports, packetsByNode(before), packetsByNode(after));
  console.log(lines.join("\n"));
  return ok ? 0 : 1;
}

async function trafficFrom(lab: LaunchedLab, client: string, protocol: string, to: string): Promise<TrafficReport> {
  if (lab.info.init === undefined) throw new LabError("the lab is still being built");
  const traffic = ["traffic", "--to", to, "--protocol", protocol, "--connections", String(EXCHANGES), "--json"];
  const [program, args] = enterCommand(lab.info, lab.info.init, client, [
    process.execPath,
    ...process.execArgv,
    entryProgram(),
    ...traffic,
  ]);
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: nodeEnvironment(lab.info.name, client),
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve());
  });
  const text = Buffer.concat(chunks).toString();
  if (text.trim() === "") throw new LabError(`the traffic to ${to} ended without a report`);
  return trafficReportSchema.parse(JSON.parse(text));
}

/** Packets that each instance has carried. */
export function packetsByNode(status: Pick<LabStatus, "services">): Map<string, number> {
  const packets = new Map<string, number>();
  for (const service of status.services) packets.set(service.node, (packets.get(service.node) ?? 0) + service.packets);
  return packets;
}

/** The table that `--once` prints, and whether all is well. Pure. */
export function summary(
  topology: LaunchedLab["topology"],
  reports: readonly TrafficReport[],
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): { lines: string[]; ok: boolean } {
  const rows = reports.map(({ protocol, to, sent, answered, lost, latencyMs }) => {
    return [protocol, to, String(sent), String(answered), String(lost), `${latencyMs.p50} / ${latencyMs.p99}`];
  });
  const targets = topology.nodes.flatMap(({ name, spec }) =>
    spec.role === "target" && spec.echo !== undefined ? [name] : [],
  );
  const answers = (target: string) => reports.reduce((sum, report) => sum + (report.targets[target] ?? 0), 0);
  const instances = topology.nodes.flatMap(({ name, spec }) => (spec.role === "gateway" ? [name] : []));
  const carried = (node: string) => (after.get(node) ?? 0) - (before.get(node) ?? 0);
  const lost = reports.reduce((sum, report) => sum + report.lost, 0);
  const missed = [
    ...targets.filter((target) => answers(target) === 0),
    ...instances.filter((node) => carried(node) <= 0),
  ];
  const verdict = [
    lost === 0 ? "nothing was lost" : `${lost} lost`,
    missed.length === 0 ? "every target and instance was hit" : `not hit: ${missed.join(", ")}`,
  ].join("; ");
  const lines = [
    ...table([["PROTOCOL", "TO", "SENT", "ANSWERED", "LOST", "MS P50 / P99"], ...rows]),
    "",
    ...table([["TARGET", "ANSWERS"], ...targets.map((target) => [target, String(answers(target))])]),
    "",
    ...table([["INSTANCE", "PACKETS"], ...instances.map((node) => [node, String(carried(node))])]),
    "",
    verdict,
  ];
  return { lines, ok: lost === 0 && missed.length === 0 && reports.length > 0 };
}
