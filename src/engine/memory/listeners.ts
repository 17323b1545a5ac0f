import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";

/**
 * Listeners by key. They are called in microtasks after the step that emits, in the order of emission. The error of a
 * listener is logged and affects neither the emitter nor the other listeners.
 */
export class Listeners<T> {
  readonly #byKey = new Map<string, Set<{ call: (value: T) => void }>>();

  constructor(readonly logger: Logger) {}

  add(key: string, listener: (value: T) => void): Unsubscribe {
    const registration = { call: listener };
    const registrations = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, registrations.add(registration));
    return () => {
      registrations.delete(registration);
      if (registrations.size === 0 && this.#byKey.get(key) === registrations) this.#byKey.delete(key);
    };
  }

  emit(key: string, value: T): void {
    const registrations = this.#byKey.get(key);
    for (const registration of registrations ?? []) {
      queueMicrotask(() => {
        if (registrations?.has(registration)) this.#call(registration.call, value, key);
      });
    }
  }

  clear(): void {
    for (const registrations of this.#byKey.values()) registrations.clear();
    this.#byKey.clear();
  }

  #call(listener: (value: T) => void, value: T, key: string): void {
    try {
      listener(value);
    } catch (error) {
      this.logger.error({ err: error, key }, "a listener failed");
    }
  }
}
