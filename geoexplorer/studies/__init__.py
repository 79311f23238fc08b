"""The same computations over many images and networks; stored, resumable, distributed."""

from geoexplorer.studies.quantities import QUANTITIES
from geoexplorer.studies.stored import StoredStudy, open_study
from geoexplorer.studies.study import Study, StudyProgress

__all__ = ["QUANTITIES", "StoredStudy", "Study", "StudyProgress", "open_study"]
