import pino from "pino";
import type { Intent, Leg } from "#shared/resolve/intent-types.ts";
import type { Packet } from "#shared/resolve/locate.ts";
import { openIcmpTranslator } from "../../proxy/icmp-translator.ts";
import { InstanceKernel } from "../../proxy/instance-kernel.ts";
import { NO_MOVES } from "../../proxy/moves/moves.ts";
import { whereabouts } from "../../proxy/moves/whereabouts.ts";
import { fastPath } from "../../proxy/nft/fast-path.ts";
import { slowPath } from "../../proxy/nft/slow-path.ts";
import { intentOf, scenario } from "../support/scenario.ts";

/*
 * The kernel side of a proxy, for its network namespace: programs the scenario in the mode that is its argument and
 * translates ICMP errors, unless a second argument says "deaf". Prints "up", then its counts for each line of input, until the input ends.
 */
const log = pino({ level: "warn" }, pino.destination(2));
const mode = process.argv[2] === "DSR" ? "DSR" : "NAT";
const intent: Intent = await intentOf(scenario({ mode, targets: 1, ...(mode === "NAT" ? { targetPort: 80 } : {}) }));
const kernel = new InstanceKernel(log);
const { environment, devices } = kernel.observe(intent);
kernel.applyRouting(intent, devices);
kernel.applyTables([slowPath(intent), fastPath(intent, environment)]);
const stop = new AbortController();
const translated = process.argv[3] === "deaf" ? undefined : intent;
const nowhere = () => undefined;
const legOf = (packet: Packet): Leg | undefined => whereabouts(intent, NO_MOVES, packet, nowhere, nowhere).leg;
const translator = openIcmpTranslator({ intent: () => translated, legOf, log, signal: stop.signal });
process.stdout.write("up\n");
process.stdin.on("data", () => process.stdout.write(`${JSON.stringify(translator.counts())}\n`));
process.stdin.on("end", () => {
  stop.abort();
  translator.close();
  kernel.close();
});
