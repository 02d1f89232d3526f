import type { Screen } from "./screen.ts";

/**
 * Gives the terminal its cursor back however the process ends: by itself, by an error that nobody caught, by
 * Ctrl-\ or while Ctrl-Z holds it. (SIGINT and SIGTERM end in an exit of our own; after SIGKILL `tput cnorm` does it.
 * After SIGHUP the terminal is gone.)
 */
export function restoreOnLeave(screen: Screen): void {
  if (!screen.isLive) return;
  process.on("exit", () => screen.restoreCursor());
  // Windows knows neither of these signals.
  if (process.platform === "win32") return;
  process.once("SIGQUIT", () => {
    screen.clear();
    process.kill(process.pid, "SIGQUIT");
  });
  process.on("SIGTSTP", () => {
    screen.clear();
    process.kill(process.pid, "SIGSTOP");
  });
}
