import { mkdir } from "node:fs/promises";
import { GATEWAY_NAME_LABEL } from "#shared/api/names.ts";
import { watchProgrammed } from "#shared/instance/programmed.ts";
import { watchKernel } from "#shared/kernel/netlink-events.ts";
import { type NetlinkSocket, openNetlink } from "#shared/kernel/netlink-socket.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { pause, within } from "#shared/process/pause.ts";
import type { ObjectStore } from "#shared/store/object-store.ts";
import { BfdControl } from "./bfd-control.ts";
import { type DesiredState, desiredState } from "./desired-state.ts";
import { type ExternalInterface, parametersOf } from "./external-interface.ts";
import { type FrontendStatus, frontendStatus } from "./frontend-status.ts";
import { GobgpSpeaker } from "./gobgp-speaker.ts";
import { findGobgpd, GobgpdProcess } from "./gobgpd-process.ts";
import { InstanceReporter } from "./instance-reporter.ts";
import { KernelReturnRoutes, readInterfaces } from "./kernel-network.ts";
import { type PeerState, peerStates } from "./peer-state.ts";
import { ProgrammedSource } from "./programmed-source.ts";
import { NO_DAMPINGS, readiness, SHUTTING_DOWN } from "./readiness.ts";
import { desiredRoutes, type ReturnRoute } from "./return-routes.ts";
import { RouteControl } from "./route-control.ts";
import { type SpeakerControl, SpeakerStartError } from "./speaker-control.ts";
import { SpeakerSupervisor } from "./speaker-supervisor.ts";

export interface FrontendOptions {
  readonly store: ObjectStore;
  /** The Pod of this gateway instance. */
  readonly pod: { readonly namespace: string; readonly name: string };
  /** The Gateway that it is an instance of. */
  readonly gateway: { readonly namespace: string; readonly name: string };
  /** Shared with the proxy beside it: programmed.json, gobgpd's socket and pid. On a tmpfs. */
  readonly runDir: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Ends the frontend: VIPs are withdrawn first. */
  readonly signal: AbortSignal;
  /** How long sessions are kept up after the withdrawal, at most: until the proxy beside it sees no packet any more. */
  readonly drainMs: number;
  /** Where gobgpd and setpriv are looked for: as in the environment variable PATH. */
  readonly path: string;
}

export interface RunningFrontend {
  /** Resolves when all VIPs are withdrawn and gobgpd has ended; the kernel's routes stay. */
  readonly done: Promise<void>;
  /** Whether gobgpd runs. */
  ready(): boolean;
  status(): FrontendStatus;
}

const BGP_PORT = 179;
/** Addresses and the proxy's file are looked at this often even when nothing told of a change. */
const RECHECK_MS = 1_000;
const EVENT_PAUSE_MS = 100;
const SPEAKING_LIMIT_MS = 1_000;
const WITHDRAW_LIMIT_MS = 2_000;
const REPORT_LIMIT_MS = 1_000;
/** Routers get this long to take the withdrawals, whatever the proxy says. */
const LEAST_DRAIN_MS = 500;
const DRAIN_LOOK_MS = 50;

/**
 * The frontend of one gateway instance: attracts traffic for the VIPs that the proxy beside it serves, and tells the
 * kernel where their replies go.
 * @throws ProgramMissingError when gobgpd is not installed; StoreUnavailableError.
 */
export async function runFrontend(options: FrontendOptions): Promise<RunningFrontend> {
  await findGobgpd(options.path);
  await mkdir(options.runDir, { recursive: true });
  const stop = new AbortController();
  const netlink = openNetlink();
  try {
    return await begin(options, netlink, stop);
  } catch (error) {
    stop.abort();
    netlink.close();
    throw error;
  }
}

async function begin(
  options: FrontendOptions,
  netlink: NetlinkSocket,
  stop: AbortController,
): Promise<RunningFrontend> {
  const { clock, gateway, log, path, pod, runDir, signal, store } = options;
  const stopped = AbortSignal.any([signal, stop.signal]);
  /** Ends after the drain: until then replies go where the routers say, and the proxy is listened to. */
  const life = new AbortController();
  const programmed = new ProgrammedSource(runDir, log);
  const routeControl = new RouteControl(new KernelReturnRoutes(netlink), log);
  let interfaces: readonly ExternalInterface[] = [];
  let states: readonly PeerState[] = [];
  let routes: readonly ReturnRoute[] = [];
  let dampings = NO_DAMPINGS;
  let seen: SpeakerControl | undefined;
  /** Undefined until the first daemon has said what it can. */
  let daemonDoesBfd: boolean | undefined;

  const supervisor = new SpeakerSupervisor({
    launch: async () => {
      const daemon = await GobgpdProcess.start({ runDir, path, log });
      try {
        return { daemon, speaker: await GobgpSpeaker.connect(daemon.socket) };
      } catch (error) {
        await daemon.kill();
        throw error;
      }
    },
    // A new pod has no such file yet, and after a reboot it is gone with the kernel's state.
    isRestart: () => programmed.current?.vips.some(({ ready }) => ready) ?? false,
    onChange: () => {
      speak.wake();
      observe.wake();
    },
    log,
    signal: stopped,
  });

  const bfd = new BfdControl(log, () => {
    speak.wake();
    observe.wake();
  });

  const onObject = (): void => {
    speak.wake();
    observe.wake();
    report.wake();
  };
  const view = await store.watch(
    [
      { kind: "Gateway", namespace: gateway.namespace },
      { kind: "GatewayClass" },
      { kind: "GatewayParameters" },
      { kind: "BgpPeer", namespace: gateway.namespace },
      { kind: "Secret", namespace: gateway.namespace },
      { kind: "Pod", namespace: pod.namespace, matchLabels: { [GATEWAY_NAME_LABEL]: gateway.name } },
    ],
    onObject,
    stopped,
  );
  const reporter = new InstanceReporter({ store, view, pod });

  const look = (): DesiredState => {
    const object = view.get("Gateway", gateway.namespace, gateway.name);
    const parameters = object && parametersOf(view, object);
    const names = parameters?.spec.externalNetworks.map((network) => network.interface) ?? [];
    interfaces = readInterfaces(netlink, names);
    const desired = desiredState({
      view,
      gateway: object,
      podName: pod.name,
      interfaces,
      programmed: programmed.current,
      listenPort: BGP_PORT,
    });
    daemonDoesBfd = supervisor.control?.speaker.doesBfd ?? daemonDoesBfd;
    return bfd.pass(desired, daemonDoesBfd ?? true, supervisor.control?.restarting() ?? [], clock.nowMs());
  };

  const readFile = new ConvergeLoop({
    name: "programmed",
    log,
    signal: life.signal,
    converge: async () => {
      if (await programmed.refresh()) onObject();
      return RECHECK_MS;
    },
  });
  const speak = new ConvergeLoop({
    name: "speaker",
    log,
    signal: stopped,
    converge: async () => {
      const { control } = supervisor;
      if (control === undefined) return undefined;
      try {
        // A router that restarts ends its session first: whether it has decides what the fall of its BFD means.
        if (bfd.isDown) await control.observe(clock.nowMs());
        await control.converge(look());
        await control.revive(clock.nowMs());
      } catch (error) {
        if (error instanceof SpeakerStartError) await supervisor.replace(control);
        throw error;
      } finally {
        observe.wake();
      }
      return RECHECK_MS;
    },
  });
  const observe = new ConvergeLoop({
    name: "routes",
    log,
    signal: life.signal,
    converge: async () => {
      const { control } = supervisor;
      if (control !== seen) routeControl.hold(clock.nowMs());
      seen = control;
      await control?.observe(clock.nowMs());
      const desired = look();
      const nowMs = clock.nowMs();
      const speaker = control?.view() ?? { down: supervisor.down, sessions: [], refusals: new Map() };
      states = peerStates(desired, speaker, bfd.reports(), new Map(states.map((state) => [state.name, state])), nowMs);
      report.wake();
      const learned = control?.learned() ?? [];
      routes = desiredRoutes(desired, interfaces, learned);
      const againMs = await routeControl.converge(desired, interfaces, states, learned, nowMs);
      return Math.min(RECHECK_MS, againMs ?? RECHECK_MS);
    },
  });
  const report = new ConvergeLoop({
    name: "status",
    log,
    signal: stopped,
    converge: async () => {
      const nowMs = clock.nowMs();
      const judged = readiness(look(), states, dampings, nowMs);
      dampings = judged.dampings;
      await reporter.report(states, judged.families, nowMs);
      return judged.againMs;
    },
  });

  routeControl.hold(clock.nowMs());
  watchProgrammed(
    runDir,
    () => readFile.wake(),
    (error) => log.warn({ err: error }, "lost the watch on the run directory; looking at it every second"),
    life.signal,
  );
  watchKernel({
    groups: ["link", "address", "route"],
    signal: life.signal,
    // A proxy beside it that changes a thousand routes is no reason to look a thousand times.
    quietMs: EVENT_PAUSE_MS,
    onChange: (kinds) => {
      observe.wake();
      if (kinds.has("link") || kinds.has("address")) speak.wake();
    },
    onError: (err) => log.error({ err }, "cannot watch the kernel any more; looking at it every second"),
  });
  await programmed.refresh();
  const loops = Promise.all([readFile.run(), observe.run(), report.run()]);
  const speaking = speak.run();
  const live = async (): Promise<void> => {
    try {
      await supervisor.run();
    } finally {
      stop.abort();
      // A pass that hangs on a daemon that does not answer is not waited for: traffic has to move first.
      await within(SPEAKING_LIMIT_MS, speaking);
      await shutDown({ supervisor, reporter, programmed, log, clock, drainMs: options.drainMs });
      life.abort();
      await within(REPORT_LIMIT_MS, loops);
      await supervisor.stop();
      await bfd.close();
      netlink.close();
    }
  };
  return {
    done: live(),
    ready: () => supervisor.control !== undefined,
    status: () =>
      frontendStatus({
        gobgpd: supervisor.daemon,
        states,
        advertised: supervisor.control?.announced() ?? [],
        routes,
        programmedProblem: programmed.problem,
        repairs: routeControl.repairs,
      }),
  };
}

/** Withdraws, says so, and gives the routers time. */
async function shutDown(parts: {
  readonly supervisor: SpeakerSupervisor;
  readonly reporter: InstanceReporter;
  readonly programmed: ProgrammedSource;
  readonly log: Log;
  readonly clock: Clock;
  readonly drainMs: number;
}): Promise<void> {
  const { supervisor, reporter, log } = parts;
  try {
    const withdrawn = supervisor.control?.withdrawAll() ?? Promise.resolve();
    const told = await within(
      WITHDRAW_LIMIT_MS,
      withdrawn.then(() => true),
    );
    if (told !== true) log.error({ limitMs: WITHDRAW_LIMIT_MS }, "gobgpd did not take the withdrawals; ending it");
  } catch (error) {
    log.error({ err: error }, "gobgpd refused the withdrawals; ending it");
  }
  const reported = reporter.report([], SHUTTING_DOWN, parts.clock.nowMs()).catch((error: unknown) => {
    log.warn({ err: error }, "cannot report the shutdown");
  });
  await Promise.all([drained(parts.programmed, parts.drainMs), within(REPORT_LIMIT_MS, reported)]);
}

/** Waits until the proxy, when it ends as well, sees no packet any more. */
async function drained(programmed: ProgrammedSource, limitMs: number): Promise<void> {
  const patience = new AbortController();
  const startedMs = performance.now();
  for (;;) {
    const passedMs = performance.now() - startedMs;
    if (passedMs >= limitMs) return;
    if (passedMs >= LEAST_DRAIN_MS && programmed.current?.state !== "draining") return;
    await pause(DRAIN_LOOK_MS, patience.signal);
  }
}
