import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { waitAnyReadable } from "../kernel/libc.ts";
import { becomeRealTime } from "../kernel/scheduling.ts";
import { type BfdNews, isBfdRequest, isBfdWorkerData } from "./bfd-messages.ts";
import { BfdSpeaker } from "./bfd-speaker.ts";

/** Between two turns of a thread with real-time priority. */
const REST_MS = 5;
/** Requests are looked for this often. */
const REQUEST_MS = 50;

/**
 * The thread behind BfdThread: sockets and timers of all sessions, away from whatever keeps the main thread busy. It
 * waits in poll(2), not in an event loop: nothing comes between a packet and its session, and the thread may be ended at
 * any time (a descriptor watched by koffi's uv_poll takes the process with it when its thread ends).
 */
function serve(port: MessagePort): void {
  const speaker = new BfdSpeaker({
    nowMs: () => performance.now(),
    random: Math.random,
    onReports: (reports) => {
      const news: BfdNews = { reports };
      port.postMessage(news);
    },
  });
  const realTime = becomeRealTime();
  const hello: BfdNews = { reports: [], realTime };
  port.postMessage(hello);
  try {
    for (;;) {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        const request: unknown = next.message;
        if (!isBfdRequest(request)) throw new TypeError("BFD thread: a message that is no request");
        if (request.type === "stop") return;
        speaker.want(request.sessions);
      }
      const waitMs = Math.min(REQUEST_MS, speaker.turn());
      // Served before all others, it must leave them room: a flood from the link is read in turns.
      if (realTime) waitAnyReadable([], REST_MS);
      waitAnyReadable(speaker.fds(), Math.max(0, Math.ceil(waitMs) - (realTime ? REST_MS : 0)));
    }
  } finally {
    speaker.close();
    port.close();
  }
}

// Elsewhere than in BfdThread's worker it is loaded only to be compiled.
if (isBfdWorkerData(workerData)) serve(workerData.port);
