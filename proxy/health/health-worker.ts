import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { waitAnyReadable } from "#shared/kernel/libc.ts";
import { isHealthRequest, isHealthWorkerData } from "./health-messages.ts";
import { Prober } from "./prober.ts";

/**
 * The thread behind HealthThread: sockets and timers of all probes, away from the main thread, which libnftables keeps busy
 * for up to some hundred milliseconds. No event loop runs in it: it sleeps, looks what has come, and acts, so it may be
 * ended at any time.
 */
function serve(port: MessagePort): void {
  const prober = new Prober({
    nowMs: () => performance.now(),
    random: Math.random,
    onNews: (news) => port.postMessage(news),
  });
  try {
    for (;;) {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        const request: unknown = next.message;
        if (!isHealthRequest(request)) throw new TypeError("health thread: a message that is no request");
        if (request.type === "stop") return;
        prober.want(request.probes);
      }
      waitAnyReadable([], Math.ceil(prober.turn()));
    }
  } finally {
    prober.close();
    port.close();
  }
}

// Elsewhere than in HealthThread's worker it is loaded only to be compiled.
if (isHealthWorkerData(workerData)) serve(workerData.port);
