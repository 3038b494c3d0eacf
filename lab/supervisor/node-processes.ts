import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { birdConfig } from "../bird-config.ts";
import type { LabFolder } from "../lab-folder.ts";
import type { ResolvedNode, ResolvedTopology } from "../resolve-topology.ts";
import { CLUSTER } from "../topology.ts";
import { unixRequest } from "../unix-http.ts";
import { BoundedLog } from "./bounded-log.ts";
import { KeptProcess } from "./kept-process.ts";
import { runCommand } from "./run-command.ts";

interface Plan {
  readonly node: string;
  readonly name: string;
  readonly command: readonly string[];
  readonly probe?: () => Promise<boolean>;
}

export interface ProcessContext {
  readonly folder: LabFolder;
  readonly topology: ResolvedTopology;
  /** What understands `proxy`, `frontend`, `controller`, `node`, `discovery` and `echo`, with its first arguments. */
  readonly program: readonly string[];
  /** Flags that tell a process where its objects are. */
  readonly storeFlags: (process: string) => readonly string[];
  readonly onChange: (node: string) => void;
}

/** Socket of BIRD's control protocol; the first router has the one that `birdc` looks for by itself. */
function birdSocket(topology: ResolvedTopology, router: string): string {
  const first = topology.nodes.find(({ spec }) => spec.role === "router")?.name;
  return router === first ? "/run/bird/bird.ctl" : `/run/bird/${router}.ctl`;
}

/** Every process of the lab, none of them started yet. Makes the run folders and BIRD's configuration. */
export function labProcesses(context: ProcessContext): KeptProcess[] {
  const { folder, topology } = context;
  const plans = [...topology.nodes.flatMap((node) => nodePlans(context, node)), ...clusterPlans(context)];
  mkdirSync(folder.run(CLUSTER), { recursive: true });
  for (const { name } of topology.nodes) mkdirSync(folder.run(name), { recursive: true });
  return plans.map(({ node, name, command, probe }) => {
    return new KeptProcess({
      node,
      name,
      command: node === CLUSTER ? command : ["ip", "netns", "exec", node, ...command],
      cwd: folder.run(node),
      env: { ...process.env, CAUSEWAY_LAB_NODE: node },
      log: new BoundedLog(folder.log(node, name)),
      ...(probe === undefined ? {} : { probe }),
      onChange: () => context.onChange(node),
    });
  });
}

/** Whether the process behind a socket says that it is ready. */
export function readyProbe(socket: string): () => Promise<boolean> {
  return async () => (await unixRequest(socket, "GET", "/readyz", 1000)).status === 200;
}

function nodePlans(context: ProcessContext, node: ResolvedNode): Plan[] {
  const { folder, program } = context;
  const own = (name: string, ...args: string[]): Plan => ({
    node: node.name,
    name,
    command: [...program, name, ...args],
    probe: readyProbe(join(folder.run(node.name), `${name}.sock`)),
  });
  const extra = node.spec.processes.map(({ name, command }): Plan => ({ node: node.name, name, command }));
  switch (node.spec.role) {
    case "client":
    case "host":
      return extra;
    case "router":
      return [birdPlan(context, node), ...extra];
    case "gateway": {
      const namespace = node.spec.gateway.split("/")[0];
      const flags = ["--gateway", node.spec.gateway, "--pod", `${namespace}/${node.name}`];
      return [...node.spec.run.map((name) => own(name, ...flags, ...objectFlags(context, node.name, name))), ...extra];
    }
    case "relay":
      return [
        own(
          "discovery",
          "--pod",
          `${node.spec.namespace}/${node.name}`,
          ...objectFlags(context, node.name, "discovery"),
        ),
        ...extra,
      ];
    case "topics":
      return [
        own("topics", "--pod", `${node.spec.namespace}/${node.name}`, ...objectFlags(context, node.name, "topics")),
        ...extra,
      ];
    case "target": {
      const { echo } = node.spec;
      if (echo === undefined) return extra;
      const ports = [
        ...echo.tcp.flatMap((port) => ["--tcp", String(port)]),
        ...echo.udp.flatMap((port) => ["--udp", String(port)]),
      ];
      return [own("echo", "--name", node.name, "--run-dir", folder.run(node.name), ...ports), ...extra];
    }
  }
}

function objectFlags({ folder, storeFlags }: ProcessContext, node: string, process: string): string[] {
  return [...storeFlags(process), "--run-dir", folder.run(node)];
}

function clusterPlans(context: ProcessContext): Plan[] {
  const { folder, topology, program } = context;
  return topology.spec.cluster.map((name): Plan => {
    const pods = name === "node" ? ["--pod-namespaces", folder.pods] : [];
    return {
      node: CLUSTER,
      name,
      command: [...program, name, ...objectFlags(context, CLUSTER, name), ...pods],
      probe: readyProbe(join(folder.run(CLUSTER), `${name}.sock`)),
    };
  });
}

function birdPlan({ folder, topology }: ProcessContext, node: ResolvedNode): Plan {
  const config = join(folder.run(node.name), "bird.conf");
  mkdirSync(folder.run(node.name), { recursive: true });
  // It may hold the sessions' password.
  writeFileSync(config, birdConfig(topology, node), { mode: 0o600 });
  const socket = birdSocket(topology, node.name);
  const bird = ["bird", "-f", "-c", config, "-s", socket, "-P", `/run/bird/${node.name}.pid`];
  // With graceful restart it recovers, from its second start on, what its kernel has kept.
  const again = 'test -e bird.started && set -- "$@" -R; touch bird.started; exec "$@"';
  return {
    node: node.name,
    name: "bird",
    command: topology.spec.bgp?.gracefulRestart === true ? ["sh", "-c", again, "sh", ...bird] : bird,
    probe: async () => (await runCommand("birdc", ["-s", socket, "show", "status"])).includes("Daemon is up"),
  };
}
