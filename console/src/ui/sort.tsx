/** In which order a list stands. */
export function SortPick({ orders, value, change }: { orders: readonly (readonly [string, string])[]; value: string; change: (sort: string) => void }) {
  return (
    <label className="pick">
      <span>Order</span>
      <select value={value} onChange={(event) => change(event.target.value)}>
        {orders.map(([order, name]) => (
          <option key={order} value={order}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
