import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { fetchStatus } from "../control-client.ts";
import { enterCommand, nodeEnvironment } from "../enter.ts";
import type { LabStatus } from "../lab-status.ts";
import type { LaunchedLab } from "../launch.ts";
import { renderReport, type TrafficReport, trafficReportSchema } from "../traffic/report.ts";
import { addressAndPort, type Destination, destinations } from "./destinations.ts";
import { clientOf } from "./once.ts";
import { renderView } from "./view.ts";

const BACKGROUND = fileURLToPath(new URL("./background-client.ts", import.meta.url));
const REDRAW_MS = 500;
/** Without a terminal: a few lines now and then. */
const LINES_EVERY_MS = 5000;

/** Shows the lab and gentle traffic through it until `signal` aborts. */
export async function showLive(lab: LaunchedLab, first: LabStatus, signal: AbortSignal): Promise<void> {
  const goals = destinations(first);
  const hints = hintsFor(lab, goals[0]);
  const traffic = backgroundTraffic(lab, goals, signal);
  const terminal = process.stdout.isTTY;
  if (!terminal) console.log(hints.join("\n"));
  // The alternate screen leaves what was on the terminal alone.
  if (terminal) process.stdout.write("\x1b[?1049h\x1b[?25l");
  try {
    let previous: { status: LabStatus; at: number } | undefined;
    while (!signal.aborted) {
      const status = await fetchStatus(lab.folder);
      const at = performance.now();
      if (terminal) {
        const { columns, rows } = process.stdout;
        const rates =
          previous === undefined ? {} : { previous: { status: previous.status, elapsedMs: at - previous.at } };
        const lines = renderView(
          { status, ...rates, traffic: traffic.reports(), hints },
          columns || 80,
          (rows || 24) - 1,
        );
        process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
      } else {
        console.log(plainLine(status, traffic.reports()));
      }
      previous = { status, at };
      await pause(terminal ? REDRAW_MS : LINES_EVERY_MS, signal);
    }
  } finally {
    if (terminal) process.stdout.write("\x1b[?25h\x1b[?1049l");
  }
  for (const report of traffic.reports()) console.log(renderReport(report));
}

function plainLine(status: LabStatus, reports: readonly TrafficReport[]): string {
  const answered = reports.reduce((sum, report) => sum + report.answered, 0);
  const lost = reports.reduce((sum, report) => sum + report.lost, 0);
  const routed = status.vips.filter(({ nextHops }) => nextHops.length > 0).length;
  const state = status.converged ? "converged" : `waiting for ${status.waitingFor.join("; ")}`;
  return `${new Date().toISOString()} ${state}; ${routed} of ${status.vips.length} VIPs routed; answered ${answered}, lost ${lost}`;
}

function hintsFor(lab: LaunchedLab, goal: Destination | undefined): string[] {
  const [option, explained] =
    lab.info.name === "default" ? ["", ""] : [` --name ${lab.info.name}`, ` --lab ${lab.info.name}`];
  const target = lab.topology.nodes.find(({ spec }) => spec.role === "target")?.name ?? "NODE";
  const to = goal === undefined ? "VIP:PORT" : addressAndPort(goal);
  const protocol = goal === undefined || goal.protocol === "tcp" ? "" : ` --protocol ${goal.protocol}`;
  const client = clientOf(lab);
  const from = lab.topology.nodes.find(({ name }) => name === client)?.attachments[0];
  const source = to.startsWith("[") ? `[${from?.ipv6 ?? "::1"}]` : (from?.ipv4 ?? "127.0.0.1");
  return [
    "Try, in another terminal (Ctrl-C here tears the lab down):",
    `  bin/causeway lab exec${option} ${client} -- bin/causeway traffic --to ${to}${protocol}`,
    `  bin/causeway explain${explained} --from ${source}:40000 --to ${to}${protocol}`,
    `  bin/causeway lab stop${option} ${target}    # then: lab start${option} ${target}`,
    `  ls ${lab.folder.manifests}    # edit one`,
  ];
}

function backgroundTraffic(
  lab: LaunchedLab,
  goals: readonly Destination[],
  signal: AbortSignal,
): { reports(): readonly TrafficReport[] } {
  const { init } = lab.info;
  let latest: readonly TrafficReport[] = [];
  if (init !== undefined && goals.length > 0) {
    const client = clientOf(lab);
    const command = [
      process.execPath,
      ...process.execArgv,
      BACKGROUND,
      ...goals.map((goal) => `${goal.protocol}=${addressAndPort(goal)}`),
    ];
    const [program, args] = enterCommand(lab.info, init, client, command);
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "ignore"],
      env: nodeEnvironment(lab.info.name, client),
    });
    // Without it the view shows no traffic; that is all there is to it.
    child.on("error", () => undefined);
    createInterface({ input: child.stdout }).on("line", (line) => {
      latest = z.array(trafficReportSchema).parse(JSON.parse(line));
    });
    signal.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
  }
  return { reports: () => latest };
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}
