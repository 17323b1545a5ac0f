interface DurationFieldProps {
  label: string;
  choices: readonly { label: string; ms: number }[];
  /** ms */
  value: number;
  onValue(ms: number): void;
}

/** A field to choose one of a few durations. */
export function DurationField({ label, choices, value, onValue }: DurationFieldProps) {
  return (
    <label>
      {label}
      <select value={String(value)} onChange={(select) => onValue(Number(select.currentTarget.value))}>
        {choices.map(({ label: name, ms }) => (
          <option key={ms} value={String(ms)}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
