import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";

/** The number of rows that are drawn above and below the visible rows. */
const MARGIN_ROWS = 8;

interface VirtualListProps<Row> {
  label: string;
  rows: readonly Row[];
  /** The height of every row, px. */
  rowHeight: number;
  keyOf(row: Row): string;
  draw(row: Row): ComponentChildren;
  onOpen(row: Row): void;
}

/**
 * A list that draws only its visible rows, so it can have many rows. It is one tab stop: arrow keys, page keys, Home and End
 * move in it, and Enter or a click opens a row. Screen readers get the position of a row in the list.
 */
export function VirtualList<Row>({ label, rows, rowHeight, keyOf, draw, onOpen }: VirtualListProps<Row>) {
  const box = useRef<HTMLDivElement>(null);
  const listId = useId();
  const [scrollTop, setScrollTop] = useState(0);
  const [height, setHeight] = useState(480);
  const [activeKey, setActiveKey] = useState<string>();
  const found = rows.findIndex((row) => keyOf(row) === activeKey);
  const active = Math.max(found, 0);

  useLayoutEffect(() => {
    const element = box.current as HTMLDivElement;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const element = box.current as HTMLDivElement;
    const last = Math.max(rows.length * rowHeight - element.clientHeight, 0);
    if (element.scrollTop > last) element.scrollTop = last;
  }, [rows.length, rowHeight]);

  const moveTo = (index: number) => {
    const target = Math.min(Math.max(index, 0), rows.length - 1);
    const row = rows[target];
    const element = box.current;
    if (row === undefined || element === null) return;
    setActiveKey(keyOf(row));
    const top = target * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + rowHeight - element.clientHeight;
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const page = Math.max(Math.floor(height / rowHeight) - 1, 1);
    const targets: Record<string, number> = {
      ArrowDown: found < 0 ? 0 : active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: rows.length - 1,
    };
    const target = targets[event.key];
    const row = rows[active];
    if (target !== undefined) moveTo(target);
    else if (event.key === "Enter" && row !== undefined) onOpen(row);
    else return;
    event.preventDefault();
  };

  const first = Math.max(Math.floor(scrollTop / rowHeight) - MARGIN_ROWS, 0);
  const visible = rows.slice(first, Math.ceil((scrollTop + height) / rowHeight) + MARGIN_ROWS);
  const isDrawn = active >= first && active < first + visible.length;
  return (
    <div
      ref={box}
      class="virtual-list"
      role="listbox"
      aria-label={label}
      tabIndex={0}
      aria-activedescendant={isDrawn && rows.length > 0 ? `${listId}-${active}` : undefined}
      onKeyDown={onKeyDown}
      onClick={(event) => {
        const index = (event.target as Element).closest<HTMLElement>("[data-index]")?.dataset.index;
        const row = rows[Number(index)];
        if (index === undefined || row === undefined) return;
        setActiveKey(keyOf(row));
        onOpen(row);
      }}
      onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
    >
      <div style={{ height: `${rows.length * rowHeight}px` }} role="none">
        {visible.map((row, offset) => {
          const index = first + offset;
          return (
            <div
              key={keyOf(row)}
              id={`${listId}-${index}`}
              class="virtual-row"
              role="option"
              tabIndex={-1}
              data-index={index}
              aria-selected={index === active}
              aria-setsize={rows.length}
              aria-posinset={index + 1}
              style={{ height: `${rowHeight}px`, transform: `translateY(${index * rowHeight}px)` }}
            >
              {draw(row)}
            </div>
          );
        })}
      </div>
    </div>
  );
}
