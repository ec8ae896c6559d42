# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read columns of parquet files that a stranger may have written, as numpy arrays.

What is missing, damaged or larger than can be is told in one line that names the file. Knows
nothing of what the columns mean.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MOST_BYTES = 2**31  # of a file's columns that are read at once, unpacked
TEXT, WHOLE, REAL, TRUTH = 'text', 'whole', 'real', 'truth'


class Table:
    """A parquet file; columns: what it has, by name."""

    def __init__(self, path: Path):
        """Open it; raises ValueError, in one line, for a file that is absent or damaged."""
        self.path = path
        if not path.is_file():
            raise ValueError(f'{path}: expected a parquet file, there is none')
        try:
            self._file = pq.ParquetFile(path)
            self.columns = tuple(self._file.schema_arrow.names)
        except Exception as error:  # noqa: BLE001 - what garbage raises depends on where it is
            raise ValueError(f'{path}: expected a parquet file, got {_why(error)}') from error

    def __len__(self) -> int:
        """Return the number of rows that it claims."""
        return self._file.metadata.num_rows

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError, naming those that are missing, unless it has these columns."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            there = ', '.join(self.columns[:40])
            raise ValueError(
                f'{self.path}: expected the column{"s" * (len(missing) > 1)} '
                f'{", ".join(missing)}; there are {there}'
            )

    def read(self, wanted: Mapping[str, str | int]) -> dict[str, np.ndarray]:
        """
        Return columns as arrays, one row after the other.

        wanted: name -> WHOLE, REAL, TRUTH or TEXT for one value a row, or how many numbers a row
        has, for `[rows, numbers]` float64.
        Raises ValueError for what is missing, of another kind, empty or too large.
        """
        self.check(list(wanted))
        self._check_size(wanted)
        try:
            table = self._file.read(columns=list(wanted), use_threads=False)
        except Exception as error:  # noqa: BLE001 - see above
            raise ValueError(f'{self.path}: expected a parquet file, got {_why(error)}') from error
        found = {}
        for name, kind in wanted.items():
            column = table.column(name).combine_chunks()
            try:
                found[name] = _array(column, kind, len(table))
            except (ValueError, TypeError, pa.ArrowException) as error:
                raise ValueError(f'{self.path}: column {name}: {_why(error)}') from error
        return found

    def pictures(self, name: str, rows: Sequence[int]) -> 'Pictures':
        """Return the encoded pictures of a column at some rows, which rise, one by one."""
        self.check([name])
        return Pictures(self, name, rows)

    def _check_size(self, wanted: Mapping[str, object]) -> None:
        data, size = self._file.metadata, 0
        for group in range(data.num_row_groups):
            row_group = data.row_group(group)
            for index in range(row_group.num_columns):
                chunk = row_group.column(index)
                if any(f'{chunk.path_in_schema}.'.startswith(f'{name}.') for name in wanted):
                    size += chunk.total_uncompressed_size
        if not 0 <= size <= MOST_BYTES or not 0 <= len(self) <= MOST_BYTES // 8:
            raise ValueError(
                f'{self.path}: expected at most {MOST_BYTES} bytes in these columns, got {size} '
                f'in {len(self)} rows'
            )


class Pictures:
    """Iterate over the encoded pictures of a column; holds those of one row group at a time."""

    def __init__(self, table: Table, name: str, rows: Sequence[int]):
        """Name the rows, which rise."""
        self._table, self._name, self._rows = table, name, rows

    def __iter__(self):
        """Yield bytes; raises ValueError for a row without, or a damaged file."""
        table, name = self._table, self._name
        file = table._file  # noqa: SLF001 - of the class above
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        ends = np.cumsum(sizes)
        held, column = -1, None
        for row in self._rows:
            group = int(np.searchsorted(ends, row, side='right'))
            if group != held:
                try:
                    column = file.read_row_group(group, columns=[name], use_threads=False)
                    column, held = column.column(name), group
                except Exception as error:  # noqa: BLE001 - see above
                    raise ValueError(
                        f'{table.path}: expected a parquet file, got {_why(error)}'
                    ) from error
            value = column[row - int(ends[group]) + sizes[group]].as_py()
            data = value.get('bytes') if isinstance(value, dict) else value
            if not isinstance(data, bytes) or not data:
                raise ValueError(
                    f'{table.path}: column {name}: expected the bytes of a picture at row {row}, '
                    'got none; a path to a file beside it is not followed'
                )
            yield data


def _array(column: pa.Array, kind: str | int, rows: int) -> np.ndarray:
    """Return a column as numpy; raises ValueError for another kind and for empty cells."""
    if len(column) != rows or column.null_count:
        raise ValueError(f'expected a value in each of {rows} rows, got {column.null_count} empty')
    if kind == TEXT:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise ValueError(f'expected text, got {column.type}')
        return np.array(column.to_pylist(), dtype=object)
    if kind == TRUTH:
        return _truth(column)
    if kind in (WHOLE, REAL):
        return _numbers(column, 1, rows).reshape(rows) if kind == REAL else _whole(column, rows)
    return _numbers(column, int(kind), rows)


def _truth(column: pa.Array) -> np.ndarray:
    if pa.types.is_boolean(column.type):
        return column.to_numpy(zero_copy_only=False)
    return _numbers(column, 1, len(column)).reshape(-1) != 0


def _whole(column: pa.Array, rows: int) -> np.ndarray:
    if not pa.types.is_integer(column.type):
        raise ValueError(f'expected whole numbers, got {column.type}')
    return column.to_numpy(zero_copy_only=False).astype(np.int64).reshape(rows)


def _numbers(column: pa.Array, size: int, rows: int) -> np.ndarray:
    """Return `[rows, size]` float64 of a column of numbers, or of lists of them."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        if rows and (lengths != size).any():
            odd = lengths[lengths != size][0]
            raise ValueError(f'expected {size} numbers in each row, got {odd}')
        column = column.flatten()
    elif size != 1:
        raise ValueError(f'expected {size} numbers in each row, got {kind}')
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f'expected numbers, got {kind}')
    if column.null_count or len(column) != rows * size:
        raise ValueError(f'expected {rows * size} numbers, got {len(column) - column.null_count}')
    return column.to_numpy(zero_copy_only=False).astype(np.float64).reshape(rows, size)


def _why(error: Exception) -> str:
    return ' '.join(str(error).split())[:200] or type(error).__name__
