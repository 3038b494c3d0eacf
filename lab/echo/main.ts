import { join } from "node:path";
import { serve } from "#shared/process/http-server.ts";
import { LabError } from "../lab-error.ts";
import { Clients } from "./clients.ts";
import { tcpEcho } from "./tcp-echo.ts";
import { UdpEcho } from "./udp-echo.ts";

export interface EchoOptions {
  readonly name: string;
  readonly tcp: readonly string[];
  readonly udp: readonly string[];
  readonly runDir?: string;
}

/** Serves until the process is ended; SIGTERM ends it when it has nobody left to serve, a second one at once. @throws LabError for options that make no sense or a port that is taken. */
export async function echoMain({ name, tcp, udp, runDir }: EchoOptions): Promise<void> {
  if (!/^[\x21-\x7e]{1,63}$/.test(name))
    throw new LabError(`--name ${JSON.stringify(name)} must be 1-63 printable characters without blanks`);
  if (tcp.length + udp.length === 0) throw new LabError("echo has nothing to serve: give --tcp PORT or --udp PORT");
  const clients = new Clients();
  for (const text of tcp) await listening(`TCP port ${text}`, tcpEcho(name, parsePort(text), clients));
  for (const text of udp) await listening(`UDP port ${text}`, UdpEcho.listen(name, parsePort(text), clients));
  process.once("SIGTERM", () => {
    console.log("ending when nobody is left to serve");
    process.once("SIGTERM", () => process.exit(0));
    void clients.gone().then(() => process.exit(0));
  });
  if (runDir !== undefined)
    await serve(join(runDir, "echo.sock"), { ready: () => true, status: () => ({ name }) }, console.error);
  console.log(`${name} answers on TCP ${tcp.join(", ") || "-"}, UDP ${udp.join(", ") || "-"}`);
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^[0-9]{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new LabError(`port ${JSON.stringify(text)} must be 1-65535`);
}

async function listening<T>(what: string, ready: Promise<T>): Promise<T> {
  try {
    return await ready;
  } catch (cause) {
    throw new LabError(`cannot listen on ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
