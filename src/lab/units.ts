// Figures for people: three digits and a unit.

/** 812 ns, 74.6 µs, 1.23 ms, 2.50 s. */
export function time(us: number): string {
  if (us === 0) return "0";
  if (us < 1) return `${digits(us * 1000)} ns`;
  if (us < 1000) return `${digits(us)} µs`;
  if (us < 1_000_000) return `${digits(us / 1000)} ms`;
  return `${digits(us / 1_000_000)} s`;
}

/** 512 B, 7.70 MB: decimal, as rates of networks are. */
export function bytes(count: number): string {
  return `${scaled(count)}B`;
}

/** 6.05 MiB: memory. */
export function memory(count: number): string {
  if (count === 0) return "0";
  if (count >= 2 ** 30) return `${digits(count / 2 ** 30)} GiB`;
  if (count >= 2 ** 20) return `${digits(count / 2 ** 20)} MiB`;
  return `${digits(count / 2 ** 10)} KiB`;
}

/** 1,204,331. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** With the space, and the letter if there is one, that go before the unit. */
function scaled(value: number): string {
  if (value >= 1e9) return `${digits(value / 1e9)} G`;
  if (value >= 1e6) return `${digits(value / 1e6)} M`;
  if (value >= 1e3) return `${digits(value / 1e3)} k`;
  return `${Math.round(value)} `;
}

export function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
