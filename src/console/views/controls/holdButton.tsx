import { useEffect, useRef, useState } from "preact/hooks";
import { useConsole } from "../console.js";

/** How long the button must be held, ms. */
const HOLD_MS = 2_000;

interface HoldButtonProps {
  label: string;
  /** The confirmation question for assistive tools that can only click. */
  question: string;
  isBusy: boolean;
  onHeld(): void;
}

/**
 * A button that acts after it was held for two seconds with the pointer, Space or Enter. If it is released or loses the focus
 * earlier, it does nothing. Assistive tools that click without holding get a confirmation question instead.
 */
export function HoldButton({ label, question, isBusy, onHeld }: HoldButtonProps) {
  const { announce } = useConsole();
  const [isHolding, setHolding] = useState(false);
  const [hint, setHint] = useState("");
  const timer = useRef(0);
  const wasPressed = useRef(false);
  useEffect(() => () => clearTimeout(timer.current), []);

  const press = () => {
    wasPressed.current = true;
    if (isBusy || isHolding) return;
    setHolding(true);
    setHint("Keep holding");
    announce("Keep holding for two seconds");
    timer.current = setTimeout(() => {
      setHolding(false);
      setHint("");
      onHeld();
    }, HOLD_MS) as unknown as number;
  };
  const release = () => {
    if (!isHolding) return;
    clearTimeout(timer.current);
    setHolding(false);
    setHint("Released too early. Hold for two seconds.");
    announce("Released too early, nothing was changed");
  };
  const isKey = (event: KeyboardEvent) => event.key === " " || event.key === "Enter";

  return (
    <div class="hold">
      <button
        type="button"
        class="hold-button"
        data-holding={isHolding}
        aria-disabled={isBusy}
        aria-describedby="hold-hint"
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          press();
        }}
        onPointerUp={release}
        onPointerCancel={release}
        onBlur={release}
        onContextMenu={(event) => event.preventDefault()}
        onKeyDown={(event) => {
          if (event.key === "Escape") release();
          if (!isKey(event)) return;
          event.preventDefault();
          if (!event.repeat) press();
        }}
        onKeyUp={(event) => {
          if (!isKey(event)) return;
          event.preventDefault();
          wasPressed.current = false;
          release();
        }}
        onClick={(event) => {
          const isSynthetic = event.detail === 0 && !wasPressed.current;
          wasPressed.current = false;
          if (isSynthetic && !isBusy && confirm(question)) onHeld();
        }}
      >
        <span class="hold-fill" aria-hidden="true" />
        <span class="hold-label">{label}</span>
      </button>
      <p id="hold-hint" class="hint" role="none">
        {hint || "Hold for two seconds, or hold Space."}
      </p>
    </div>
  );
}
