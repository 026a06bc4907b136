// How bugs are planted: a method of a class is replaced for as long as the seeds run. What happens "now and then" is counted,
// not drawn, so that the seeds stay what they are.

type Method<Class, Name extends keyof Class> = Class[Name] extends (
  ...given: infer Given
) => infer Returned
  ? (this: Class, ...given: Given) => Returned
  : never;

/** Replaces one method by what `make` makes of it. */
export function replaced<Class extends object, Name extends keyof Class>(
  prototype: Class,
  name: Name,
  make: (original: Method<Class, Name>) => Method<Class, Name>,
): () => () => void {
  return () => {
    const original = prototype[name];
    prototype[name] = make(original as Method<Class, Name>) as Class[Name];
    return () => {
      prototype[name] = original;
    };
  };
}

/** True on every nth call. */
export function everyNth(nth: number): () => boolean {
  let calls = 0;
  return () => ++calls % nth === 0;
}
