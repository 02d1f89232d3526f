import { readFileSync } from "node:fs";

/** What one run took, children included. */
export interface Measure {
  /** seconds */
  wall: number;
  /** seconds of processor time, user and system */
  cpu: number;
  /** MiB, of the largest single process */
  memory: number;
}

/** Runs a command to its end; fails when it does. `piped`: a file that `cat` writes into its stdin. */
export async function measure(command: string[], piped?: string): Promise<Measure> {
  const fed = piped === undefined ? [] : ["bash", "-c", 'exec "$@" < <(cat "$0")', piped];
  const started = performance.now();
  const child = Bun.spawn([...fed, ...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const peak = watchMemory(child.pid);
  const said = await new Response(child.stderr).text();
  const status = await child.exited;
  const wall = (performance.now() - started) / 1000;
  const memory = peak();
  if (status !== 0) throw new Error(`${command.join(" ").slice(0, 300)} ended with ${status}:\n${said}`);
  return { wall, cpu: Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6, memory };
}

/**
 * The peak of a process, looked at every few milliseconds. The figure that the kernel gives for a finished
 * child starts at the size of the parent that forked it, so it says too much of a small program.
 */
export function watchMemory(pid: number): () => number {
  let peak = 0;
  const look = () => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      peak = Math.max(peak, Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // It is gone already.
    }
  };
  const timer = setInterval(look, 10);
  return () => {
    clearInterval(timer);
    return peak;
  };
}

/** Several commands one after the other, as one run. */
export async function measureAll(commands: string[][]): Promise<Measure> {
  const sum: Measure = { wall: 0, cpu: 0, memory: 0 };
  for (const command of commands) {
    const { wall, cpu, memory } = await measure(command);
    sum.wall += wall;
    sum.cpu += cpu;
    sum.memory = Math.max(sum.memory, memory);
  }
  return sum;
}

/** Median, and the spread behind it. */
export function table(title: string, rows: Record<string, Measure[]>): string {
  const lines = Object.entries(rows).map(([name, measures]) => {
    const figures = (["wall", "cpu", "memory"] as const).map((field) => {
      const unit = field === "memory" ? "MiB" : "s";
      const values = measures.map((one) => one[field]);
      const digits = field === "memory" ? 0 : 2;
      const [low, mid, high] = [Math.min(...values), median(values), Math.max(...values)];
      return `${field} ${mid.toFixed(digits)} ${unit} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
    });
    return `  ${name.padEnd(20)} ${figures.join("  ")}`;
  });
  return [title, ...lines].join("\n");
}

/** Ours over each other's, pair by pair in time, since machines drift. */
export function ratios(ours: Measure[], others: Record<string, Measure[]>): string {
  const lines = Object.entries(others).map(([name, theirs]) => {
    const ratio = (field: keyof Measure) =>
      median(ours.map((one, index) => one[field] / (theirs[index]?.[field] ?? Number.NaN))).toFixed(2);
    return `  ours / ${name}: wall ${ratio("wall")}, cpu ${ratio("cpu")}, memory ${ratio("memory")}`;
  });
  return lines.join("\n");
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = sorted.slice(sorted.length % 2 === 0 ? middle - 1 : middle);
  return sorted.length % 2 === 0 ? (low + high) / 2 : low;
}
