import { useEffect, useRef, useState } from "preact/hooks";
import { useConsole } from "../console.js";

/** How long the button must be held, ms: as on a radio. */
const HOLD_MS = 2_000;

interface HoldButtonProps {
  label: string;
  /** What is asked of those whose tools can only click. */
  question: string;
  isBusy: boolean;
  onHeld(): void;
}

/**
 * A button that acts when it was held for two seconds, by pointer or by Space or Enter. Letting go, leaving it or losing
 * the focus before is nothing. Assistive tools that click without pressing are asked to confirm instead.
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
    setHint("Let go too early. Hold for two seconds.");
    announce("Let go too early, nothing was done");
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
