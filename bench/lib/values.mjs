const TAGS = ['planner', 'searcher', 'booker', 'critic', 'scribe'];
const TEXT = 'The offer was checked against the budget and the calendar; the earlier flight is full. '.repeat(7);

/**
 * Values to store, created for each call: a number, a small object, and one that is 1 KiB as JSON text. The same number gives
 * the same value, so that reads can be checked.
 */
export const VALUES = {
  number: (i) => i,
  small: (i) => ({ name: TAGS[i % 5], age: i, tags: [TAGS[(i + 1) % 5], TAGS[(i + 2) % 5], TAGS[(i + 3) % 5]] }),
  kib: (i) => ({
    id: i,
    agent: TAGS[i % 5],
    text: TEXT,
    steps: [
      { name: 'search', done: true, cost: i % 7 },
      { name: 'compare', done: true, cost: i % 11 },
      { name: 'book', done: false, cost: i % 13 },
    ],
    offer: { flight: 'TP 258', price: 780, currency: 'EUR', legs: ['LIS', 'FRA', 'HND'] },
    notes: ['window seat', 'no meal', 'two bags', 'refund until noon'],
    at: 1_795_395_305_709,
  }),
};
