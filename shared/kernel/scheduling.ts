import koffi from "koffi";

// koffi types a foreign function as taking and returning `any`; the annotation here is the boundary.
const setScheduler: (pid: number, policy: number, param: Uint8Array) => number = koffi
  .load(null)
  .func("int sched_setscheduler(int pid, int policy, void *param)");

const SCHED_RR = 2;
/** What the thread starts is scheduled like everybody else. */
const SCHED_RESET_ON_FORK = 0x40000000;

/**
 * Asks that the calling thread be served before all that is not real-time, at the lowest such priority. For a thread
 * that does little and must do it in time. Needs CAP_SYS_NICE in the machine's own user namespace, or RLIMIT_RTPRIO.
 * @returns whether it is.
 */
export function becomeRealTime(): boolean {
  const param = new Uint8Array(4); // struct sched_param
  param[0] = 1;
  return setScheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, param) === 0;
}
