import { systemHint } from "../terminal/system-hints.ts";

/** `hint`, unless a file itself is missing or cannot be read: what to do about that is said of the system's error. */
export function unlessSystem(cause: unknown, hint: string): string | undefined {
  return systemHint(cause) === undefined ? hint : undefined;
}
